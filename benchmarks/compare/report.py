"""Tables in Markdown and a plot in SVG."""

import os
import statistics
from html import escape
from math import log10

import cases
import machine

NAMES = {"rulegrad": "rulegrad", "rulegrad fast": "rulegrad fast", "rulegrad bf16": "rulegrad bf16", "pytorch": "PyTorch", "zennit": "Zennit", "captum": "Captum", "lxt": "LXT", "innvestigate": "iNNvestigate", "floor": "floor"}

# A larger difference must be explained by what the network's kinks make of rounding, sample by sample, or no page is written.
MOST_ROUNDING = 1e-4

# What docs/precision.md finds bfloat16 to cost on transformers and with most methods at most; shown, and no page is written where it is more.
MOST_BFLOAT16 = 0.05

# Less exact programs that may be timed beside the exact one.
PRECISIONS = ("fast", "bf16")
OURS = ("rulegrad", *(f"rulegrad {precision}" for precision in PRECISIONS), "floor")


def unexplained(results):
    """A line for each row whose difference is more than rounding makes and than what was found to explain it, or is no number."""
    lines = []
    for result in results:
        others = [(f"{precision}_difference", f"of --precision {precision} from the exact result") for precision in PRECISIONS]
        for key, what in [("difference", "from the peer"), *others]:
            if key not in result:
                continue
            allowed = max(MOST_BFLOAT16 if key.startswith("bf16") else MOST_ROUNDING, result.get(key + "_explained", 0.0) + result.get(key + "_of_peer", 0.0))
            if not result[key] <= allowed:
                lines.append(f"  {result['title']}: {result[key]:.0e} {what}, of which {allowed:.0e} is explained")
    return lines


def peer_of(result):
    return next((name for name in result["ms"] if name not in OURS), None)


def middle(result, name):
    return statistics.median(result["ms"][name])


def number(ms):
    return f"{ms:.3f}" if ms < 1 else f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"


def timing(result, name):
    return f"{number(middle(result, name))} ({number(min(result['ms'][name]))})"


def line(result):
    words = [f"{NAMES[name]} {timing(result, name)} ms" for name in result["ms"]]
    return f"{result['title']}: {', '.join(words + result['notes'])}"


def shares(result):
    """Where rulegrad's time goes: the kernels that take most of it."""
    total = sum(result["kernels"].values())
    parts = sorted(((ms / total, name) for name, ms in result["kernels"].items()), reverse=True)
    return ", ".join(f"{name} {100 * share:.0f} %" for share, name in parts[:4] if share > 0.02)


def difference_cell(result, key):
    """A difference, and beside one that is more than rounding how much of it the decisions at kinks explain, and the peer's distance from its own float64."""
    words = [f"{word}: {result[key + end]:.0e}" for word, end in (("kinks", "_explained"), ("the peer's own rounding", "_of_peer")) if key + end in result]
    return f"{result[key]:.0e}" + (f" ({', '.join(words)})" if words else "")


def precision_cell(result, precision, peer):
    name = f"rulegrad {precision}"
    if name not in result["ms"]:
        return ""
    ms = middle(result, name)
    against = f", {middle(result, peer) / ms:.1f}x" if peer else ""
    return f"{number(ms)}{against}, {difference_cell(result, precision + '_difference')} off"


def row(result, precisions):
    case, peer = cases.Case(**result["case"]), peer_of(result)
    ours = middle(result, "rulegrad")
    cells = [cases.METHODS[case.method].title, str(case.batch), str(case.threads), timing(result, "rulegrad")]
    cells += [precision_cell(result, precision, peer) for precision in precisions]
    cells += [f"{NAMES[peer]} {timing(result, peer)}", f"{middle(result, peer) / ours:.1f}x"] if peer else ["none", ""]
    cells += [number(middle(result, "floor")), f"{100 * middle(result, 'floor') / ours:.0f} %"] if "floor" in result["ms"] else ["", ""]
    cells.append(" / ".join(f"{result['peak_kb'][name] / 1e3:.0f}" for name in ("rulegrad", peer) if name))
    cells.append(difference_cell(result, "difference") if "difference" in result else "")
    cells.append(shares(result))
    return "| " + " | ".join(cells) + " |"


def markdown(results, failures, peers, build, repeat, load):
    name, vector = machine.processor()
    ours = results[0]["program"] if results else {}
    lines = [
        f"Machine: {name}, {machine.cores()} cores, {vector}, {machine.memory_gigabytes():.0f} GB; load before the run {load:.1f}.",
        "",
        f"rulegrad {ours.get('version', '')}: {ours.get('compiler', '')}, {machine.rulegrad_build(build)}.",
    ]
    for peer, found in peers.items():
        lines.append(f"{found[0]}: {'; '.join(found[1]) or 'as packaged'}." if found else f"{NAMES[peer]}: left out: it is not installed, or was not asked for.")
    floors = [r["floor"] for r in results if "floor" in r]
    if floors:
        rates = [f["gigabytes_a_second"] for f in floors]
        lines.append(f"Floor: {floors[0]['version']}, memory read at {min(rates):.0f} to {max(rates):.0f} GB/s.")
    else:
        lines.append("Floor: rulegrad was built without oneDNN, so there is none.")
    lines = ["\n".join(lines[:2]), "\n".join("- " + word for word in lines[2:]), ""]
    lines.append(f"Milliseconds: median of {repeat} (minimum), in turns. Peaks in MB, rulegrad / peer. "
                 "Differences are the largest between the two results, relative to the largest value; beside one above "
                 f"{MOST_ROUNDING:.0e} stands what float32 may change in that sample by deciding a ReLU, a clip or a maximum at a kink the other way, "
                 "and, where that is less, how far the peer's float32 is from its own float64.")
    precisions = [precision for precision in PRECISIONS if any(f"rulegrad {precision}" in r["ms"] for r in results)]
    if precisions:
        lines[-1] += (f" For {' and '.join(f'`--precision {precision}`' for precision in precisions)}: median, times as fast as the peer, "
                      "and the largest difference from the exact result.")
    for network in dict.fromkeys(r["case"]["network"] for r in results if r["case"]["shown"]):
        lines += ["", f"**{cases.TITLES[network]}**", "",
                  f"| method | batch | threads | rulegrad |{''.join(f' {precision} |' for precision in precisions)} peer | times as fast | floor | of the floor's speed | peak | difference | where the time goes |",
                  "|---" * (11 + len(precisions)) + "|"]
        lines += [row(r, precisions) for r in results if r["case"]["network"] == network and r["case"]["shown"]]
    if not all(r["case"]["shown"] for r in results):
        lines += every_method(results)
    notes = [f"{r['title']}: {note}" for r in results for note in r["notes"]] + failures
    if notes:
        lines += ["", "Not measured:", ""] + [f"- {note}" for note in notes]
    return "\n".join(lines) + "\n"


def every_method(results):
    """A table a network: a line a method, a column a batch on so many threads."""
    lines = ["", "**Every method beside its peer**", "", "Milliseconds, times as fast as the peer, and the share of the floor's speed, by batch and threads."]
    for network in dict.fromkeys(r["case"]["network"] for r in results):
        here = [r for r in results if r["case"]["network"] == network]
        columns = sorted({(r["case"]["batch"], -r["case"]["threads"]) for r in here})
        cells = {}
        for r in here:
            ours, peer = middle(r, "rulegrad"), peer_of(r)
            words = [number(ours)] + ([f"{middle(r, peer) / ours:.1f}x"] if peer else []) + ([f"{100 * middle(r, 'floor') / ours:.0f} %"] if "floor" in r["ms"] else [])
            cells[r["case"]["method"], r["case"]["batch"], -r["case"]["threads"]] = ", ".join(words)
        lines += ["", f"| {cases.TITLES[network]} | {' | '.join(f'{batch} on {-threads}' for batch, threads in columns)} |", "|---" * (len(columns) + 1) + "|"]
        for method in dict.fromkeys(r["case"]["method"] for r in here):
            lines.append(f"| {cases.METHODS[method].title} | {' | '.join(cells.get((method, *column), '') for column in columns)} |")
    return lines


def floors(results):
    """A line a method, a column a network: milliseconds, and which part of the floor's speed they are."""
    networks = list(dict.fromkeys(r["case"]["network"] for r in results))
    cell = {(r["case"]["method"], r["case"]["network"]): r for r in results}
    lines = ["Milliseconds at batch 1 on all cores, and the share of the floor's speed.", "", f"| method | {' | '.join(cases.TITLES[n] for n in networks)} |",
             "|---" * (len(networks) + 1) + "|"]
    for method in dict.fromkeys(r["case"]["method"] for r in results):
        words = []
        for network in networks:
            result = cell.get((method, network))
            ours = middle(result, "rulegrad") if result else None
            share = f", {100 * middle(result, 'floor') / ours:.0f} %" if result and "floor" in result["ms"] else ""
            words.append(f"{number(ours)}{share}" if result else "")
        lines.append(f"| {cases.METHODS[method].title} | {' | '.join(words)} |")
    return "\n".join(lines) + "\n"


def write(path, text, by):
    """Puts the text between the marks of a file that is there, or into a new one; what is written `by` different commands has marks of its own."""
    begin, end = (f"<!-- measured by benchmarks/compare/{by}: {word} -->\n" for word in ("begin", "end"))
    before, after = "", ""
    if os.path.exists(path):
        with open(path) as file:
            old = file.read()
        if begin in old and end in old:
            before, after = old[: old.index(begin)] + begin + "\n", "\n" + old[old.index(end):]
    with open(path, "w") as file:
        file.write(before + text + after)


# Colours that differ in lightness too.
COLORS = {"rulegrad": "#1b5e9b", "peer": "#b9b9b9"}
LEFT, WIDTH, ROW, TOP = 430, 520, 30, 56


def plot(results):
    """How many times as long as the floor, or without floors, as rulegrad: a pair of bars for each case."""
    shown = [r for r in results if peer_of(r) and cases.Case(**r["case"]).shown == 2]
    base = {id(r): middle(r, "floor" if "floor" in r["ms"] else "rulegrad") for r in shown}
    ratios = [(r, middle(r, "rulegrad") / base[id(r)], middle(r, peer_of(r)) / base[id(r)]) for r in shown]
    end = max([4.0] + [max(a, b) for _, a, b in ratios])
    ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if t <= end * 1.5]
    scale = WIDTH / log10(end * 1.1)
    height = TOP + ROW * len(ratios) + 40
    against = "the floor (bare oneDNN)" if any("floor" in r["ms"] for r in shown) else "rulegrad"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 130}" height="{height}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="{LEFT}" y="20" font-weight="bold">Time as a multiple of {against}; shorter is better</text>',
             f'<rect x="{LEFT}" y="30" width="12" height="12" fill="{COLORS["rulegrad"]}"/><text x="{LEFT + 17}" y="41">rulegrad</text>',
             f'<rect x="{LEFT + 90}" y="30" width="12" height="12" fill="{COLORS["peer"]}"/><text x="{LEFT + 107}" y="41">peer</text>']
    for tick in ticks:
        x = LEFT + scale * log10(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height - 30}" stroke="#dddddd"/>'
                     f'<text x="{x:.1f}" y="{height - 14}" text-anchor="middle">{tick}x</text>')
    for k, (result, ours, theirs) in enumerate(ratios):
        y = TOP + ROW * k
        peer = NAMES[peer_of(result)]
        parts.append(f'<text x="{LEFT - 8}" y="{y + 18}" text-anchor="end">{escape(result["title"])}</text>')
        for offset, value, color, text in ((4, ours, COLORS["rulegrad"], f"{number(middle(result, 'rulegrad'))} ms"),
                                           (15, theirs, COLORS["peer"], f"{peer} {number(middle(result, peer_of(result)))} ms")):
            width = max(scale * log10(max(value, 1.0)), 1.5)
            parts.append(f'<rect x="{LEFT}" y="{y + offset}" width="{width:.1f}" height="10" fill="{color}"/>'
                         f'<text x="{LEFT + width + 4:.1f}" y="{y + offset + 9}" font-size="10">{text}</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"

