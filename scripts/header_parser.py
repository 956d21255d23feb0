"""Reads what api_reference.py needs of the project's own headers: declarations, and the `///` comments above or beside them."""

import dataclasses
import re


@dataclasses.dataclass
class Entry:
    kind: str  # type, function, variable, enumerator, alias
    name: str
    text: str
    doc: list
    note: str = ""  # a `///<` comment
    head: str = ""
    members: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Header:
    doc: list
    entries: list

    def count(self, kind, entries=None):
        return sum((entry.kind == kind) + self.count(kind, entry.members) for entry in (self.entries if entries is None else entries))


token = re.compile(r'///<[^\n]*|///[^\n]*|//[^\n]*|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])+\'|::|.', re.S)


def one_line(text):
    return re.sub(r"\s+", " ", text).strip()


def without_templates(text):
    """The text without what stands in angle brackets, comparison operators kept."""
    text = re.sub(r"operator\s*(<=|>=|<<|>>|<|>|->)", "operator@", text)
    previous = None
    while previous != text:
        previous, text = text, re.sub(r"<[^<>]*>", "", text)
    return text


def classify(text):
    """What a declaration declares: (kind, name)."""
    plain = re.sub(r"\[\[.*?\]\]", "", without_templates(text))
    plain = re.sub(r"^(template\s*|requires\s*\(.*?\)\s*(?=(constexpr|auto|\w))|requires\s+\w+\s+)+", "", plain.strip()).strip()
    alias = re.match(r"using\s+(\w+)\s*=", plain)
    if alias:
        return "alias", alias.group(1)
    if re.match(r"concept\s", plain):
        return "alias", plain.split()[1]
    before = re.sub(r"\bdecltype\s*\(.*\)", "", plain if re.search(r"\boperator\b", plain) else plain.split("=")[0])
    function = re.search(r"(operator\s*\(\)|operator\s*\"\"\s*\w+|operator\s*[^\s\w(]+|operator \w+|~?\w+)\s*\((?!\*)", before)
    if function:
        return "function", re.sub(r"\s+", "", function.group(1)) if function.group(1).startswith("operator") else function.group(1)
    names = re.findall(r"\w+", re.sub(r"\{.*", "", re.sub(r"\(\*(\w+)\).*", r" \1", plain.split("=")[0])))
    return "variable", names[-1] if names else ""


class Parser:
    def __init__(self, text):
        # Preprocessor lines, and what they go on with, say nothing here; rows of macros neither.
        text = re.sub(r"^[ \t]*#(?:.*\\\n)*.*$", "", text, flags=re.M)
        text = re.sub(r"^[ \t]*RULEGRAD_\w+\(.*\)$", "", text, flags=re.M)
        self.tokens = [match.group(0) for match in token.finditer(text)]
        self.at = 0
        self.doc, self.header_doc = [], []

    def skip_braces(self):
        """From behind `{` to behind its `}`; gives what stood between."""
        depth, start = 1, self.at
        while depth:
            depth += {"{": 1, "}": -1}.get(self.tokens[self.at], 0)
            self.at += 1
        return "".join(self.tokens[start : self.at - 1])

    def take_doc(self):
        doc, self.doc = self.doc, []
        return doc

    def enumerators(self):
        result, doc = [], []
        for comment, note, name in re.findall(r"///(?!<)([^\n]*)|///<\s*([^\n]*)|(\w+)(?:\s*=\s*[^,\n/]+)?", self.skip_braces()):
            if name:
                result.append(Entry("enumerator", name, name, doc))
                doc = []
            elif note and result:
                result[-1].note = (result[-1].note + " " + note).strip()
            elif comment:
                doc.append(comment.removeprefix(" "))
        return result

    def scope(self, entries, public, hidden=False):
        """Declarations up to the closing brace of a namespace or class."""
        buffer, parentheses, initialisers = "", 0, False

        def emit(kind=None, **more):
            nonlocal buffer, initialisers
            text = one_line(buffer)
            buffer, initialisers = "", False
            doc = self.take_doc()
            text = re.sub(r"^NOLINT.*?: ", "", text)
            outside = kind != "type" and "::" in re.sub(r"\(.*", "", without_templates(text)).split("=")[0].split(" ")[-1]  # a member, declared before
            forward = kind != "type" and re.fullmatch(r"(template\s*<.*>\s*)?(class|struct|union) \w+", text)
            if not text or not public or hidden or forward or outside or text.startswith(("template <>", "template<>", "friend class", "static_assert")) or re.match(r"template <.*> inline constexpr bool is_\w+<", text):
                return None
            found, name = classify(text)
            entry = Entry(kind or found, more.pop("name", name), text, doc, **more)
            entries.append(entry)
            return entry

        while self.at < len(self.tokens):
            piece = self.tokens[self.at]
            self.at += 1
            if piece.startswith("///<"):
                if entries and public and not buffer.strip():
                    note = re.sub(r";? *NOLINT\(.*?\)", "", piece[4:])  # which is for clang-tidy
                    entries[-1].note = (entries[-1].note + " " + note.strip()).strip()
                continue
            if piece.startswith("///"):
                if not buffer.strip():
                    self.doc.append(piece[3:].removeprefix(" "))
                continue
            if piece.startswith("//"):
                continue
            if piece == "\n" and not buffer.strip() and self.tokens[self.at : self.at + 1] == ["\n"]:
                if self.doc and not entries and not self.header_doc:
                    self.header_doc = self.take_doc()  # a comment that stands by itself at the top
                self.doc = []
            parentheses += {"(": 1, ")": -1}.get(piece, 0)
            if parentheses == 0 and piece == ":" and re.fullmatch(r"\s*(public|private|protected)", buffer):
                public = buffer.strip() == "public"
                buffer = ""
                self.doc = []
            elif parentheses == 0 and piece == ":" and classify(buffer)[0] == "function" and ")" in buffer and not re.match(r"\s*(class|struct)", buffer):
                emit_text, depth = buffer, 0
                while True:  # constructors: their initialisers, then the body
                    follow = self.tokens[self.at]
                    self.at += 1
                    depth += {"(": 1, ")": -1}.get(follow, 0)
                    if follow == "{" and depth == 0:
                        before = "".join(self.tokens[max(0, self.at - 3) : self.at - 1]).rstrip()
                        self.skip_braces()
                        if not re.search(r"[\w>]$", before):
                            break
                buffer = emit_text
                emit()
            elif parentheses == 0 and piece == ";":
                emit()
            elif parentheses == 0 and piece == "}":
                self.doc = []
                return
            elif parentheses == 0 and piece == "{":
                plain = re.sub(r"\[\[.*?\]\]", "", one_line(buffer))
                template = without_templates(plain)
                kind = re.search(r"(?:^|\s)(class|struct|union|enum class|enum)\s+(\w+)(?=$|[\s:@])", re.sub(r"^template\s*(requires\s*\(.*?\))?", "", template))
                if re.match(r"(inline )?namespace\b", plain):
                    if self.doc and not self.header_doc:
                        self.header_doc = self.doc
                    buffer, self.doc = "", []
                    inner = plain.split()[-1]
                    self.scope(entries, public, hidden or inner in ("detail", "rows", "literals"))
                elif kind and "(" not in template.split(kind.group(1))[0] and not re.search(r"\)\s*(const)?$", plain):
                    doc, text = list(self.doc), plain
                    entry = emit("type", name=kind.group(2), head=f"`{one_line(re.sub(r' : public.*', '', text))}`") or Entry("type", kind.group(2), text, doc)
                    if "enum" in kind.group(1):
                        entry.members = self.enumerators()
                    else:
                        self.scope(entry.members, kind.group(1) != "class")
                    while self.tokens[self.at] != ";":  # a variable of the type may follow
                        self.at += 1
                    self.at += 1
                elif classify(buffer)[0] == "function" and not re.search(r"=\s*$", buffer):
                    self.skip_braces()
                    emit()
                else:
                    buffer += "{" + self.skip_braces() + "}"
            else:
                buffer += piece


def parse_header(text):
    parser = Parser(text)
    entries = []
    parser.scope(entries, True)
    return Header(parser.header_doc, entries)
