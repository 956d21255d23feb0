"""What an adapter is: a program that reads the paths of case files from its standard input, a line each, and answers with lines of JSON.

The first line says which tool: {"tool": NAME, "versions": {...}}. Then, for each case, a list with an answer for each question:
  {"attribution": [numbers, row-major], "words": [warnings]}   what the tool gave, and what it said meanwhile
  {"refused": "what it said"}                                  the tool raised an error
  {"not_offered": "why"}                                       the tool has no such method
Adapters in other languages need nothing of this file; those in Python call `serve`.
"""
import contextlib
import io
import json
import os
import sys
import warnings


class NotOffered(Exception):
    pass


def answer(ask, case, question):
    said = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        warnings.simplefilter("always")
        try:
            found = ask(case, question)
        except NotOffered as why:
            return {"not_offered": str(why)}
        except Exception as error:  # whatever a tool raises is its refusal
            return {"refused": f"{type(error).__name__}: {error}"}
    words = [str(w.message) for w in caught] + [line for line in said.getvalue().splitlines() if line.strip()]
    return {"attribution": [float(v) for v in found], "words": words}


def serve(tool, versions, ask):
    """`ask(case, question)` gives the attribution as a flat sequence, raises NotOffered, or whatever the tool raises."""
    # What a tool prints must not stand between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"tool": tool, "versions": versions}), file=answers, flush=True)
    for line in sys.stdin:
        path = line.strip()
        if not path:
            continue
        with open(path) as file:
            case = json.load(file)
        case["folder"] = os.path.dirname(os.path.abspath(path))
        print(json.dumps([answer(ask, case, question) for question in case["questions"]]), file=answers, flush=True)
    answers.close()
