# SPDX-License-Identifier: MIT
"""A reader of call control documents that forgives what hosted platforms forgive.

Scripts write XML with curl: a raw `&` in an action's URL, one long line, no declaration. A strict reader
refuses such a document; this one reads it and says in `notes` what a strict platform would refuse.
Elements, attributes, text, CDATA, comments, the five named entities and numeric ones are read; what is no
entity stays as it is written. What can't be understood (an element that is not closed, text after the
document) is an XmlError with line and column.
"""
import re

NAME = re.compile(r"[A-Za-z_][\w.:-]*")
SPACE = re.compile(r"\s*")
ENTITY = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9A-Fa-f]{1,6})|(\w+));")
NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
DEPTH_MAX = 32


class XmlError(Exception):
    """The document can't be read; the text says where and why."""


class Element:
    """One element: name, attributes (dict), children (elements), text (all of its own text, joined)."""

    def __init__(self, name, attributes=None):
        self.name = name
        self.attributes = attributes or {}
        self.children = []
        self.text = ""

    def __repr__(self):
        return f"<{self.name} {self.attributes} {self.text!r} {self.children}>"


class Document:
    """The root element, and notes about what a strict reader would have refused."""

    def __init__(self, root, notes):
        self.root = root
        self.notes = notes


def parse(text):
    """The Document that a text (str or bytes in UTF-8) is. Raises XmlError."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as e:
            raise XmlError(f"byte {e.start}: not UTF-8") from None
    return _Reader(text).document()


class _Reader:
    def __init__(self, text):
        self.text = text
        self.at = 0
        self.notes = []

    def fail(self, why, at=None):
        before = self.text[:self.at if at is None else at]
        column = len(before) - before.rfind("\n")
        raise XmlError(f"line {before.count(chr(10)) + 1}, column {column}: {why}")

    def note(self, what):
        if what not in self.notes:
            self.notes.append(what)

    def space(self):
        self.at = SPACE.match(self.text, self.at).end()

    def upto(self, end, what):
        """The text before `end`; goes on behind it."""
        found = self.text.find(end, self.at)
        if found < 0:
            self.fail(f"{what} has no end ({end})")
        piece = self.text[self.at:found]
        self.at = found + len(end)
        return piece

    def unescape(self, piece, where):
        def replace(match):
            decimal, hexadecimal, name = match.groups()
            if name:
                if name not in NAMED:
                    self.note(f"&{name}; is no entity of XML ({where})")
                return NAMED.get(name, match[0])
            try:
                return chr(int(decimal) if decimal else int(hexadecimal, 16))
            except (ValueError, OverflowError):
                return match[0]

        if re.search(r"&(?!#\d+;|#[xX][0-9A-Fa-f]+;|\w+;)", piece):
            self.note(f"a raw & ({where}): a strict platform wants &amp;")
        return ENTITY.sub(replace, piece)

    # ---- what stands between elements
    def skip_misc(self):
        """Space, comments, declarations and a DOCTYPE without a subset."""
        while True:
            self.space()
            for begin, end, what in (("<!--", "-->", "a comment"), ("<?", "?>", "a declaration"),
                                     ("<!DOCTYPE", ">", "a DOCTYPE")):
                if self.text.startswith(begin, self.at):
                    self.at += len(begin)
                    self.upto(end, what)
                    break
            else:
                return

    def document(self):
        self.skip_misc()
        if self.at == len(self.text):
            self.fail("the document is empty")
        if self.text[self.at] != "<":
            self.fail(f"expected <Response>, found {self.text[self.at:self.at + 20]!r}")
        root = self.element(1)
        self.skip_misc()
        if self.at < len(self.text):
            self.fail("something follows the document")
        return Document(root, self.notes)

    def name(self, what):
        match = NAME.match(self.text, self.at)
        if not match:
            self.fail(f"expected {what}, found {self.text[self.at:self.at + 10]!r}")
        self.at = match.end()
        return match[0]

    def element(self, depth):
        begin = self.at
        self.at += 1
        if depth > DEPTH_MAX:
            self.fail(f"elements are nested more than {DEPTH_MAX} deep")
        element = Element(self.name("an element's name"))
        if self.attributes(element):
            self.content(element, begin, depth)
        return element

    def attributes(self, element):
        """Returns whether the element has content: False for <X/>."""
        while True:
            self.space()
            if self.text.startswith("/>", self.at):
                self.at += 2
                return False
            if self.text.startswith(">", self.at):
                self.at += 1
                return True
            key = self.name(f"an attribute of <{element.name}>, or >")
            self.space()
            if not self.text.startswith("=", self.at):
                self.fail(f"attribute {key} has no value")
            self.at += 1
            self.space()
            quote = self.text[self.at:self.at + 1]
            if quote not in ('"', "'"):
                self.fail(f"attribute {key} has no quotes")
            self.at += 1
            value = self.upto(quote, f"attribute {key}")
            if key in element.attributes:
                self.fail(f"attribute {key} stands there twice")
            element.attributes[key] = self.unescape(value, f"attribute {key} of <{element.name}>")

    def content(self, element, begin, depth):
        while True:
            found = self.text.find("<", self.at)
            if found < 0:
                self.fail(f"<{element.name}> is not closed", begin)
            element.text += self.unescape(self.text[self.at:found], f"text of <{element.name}>")
            self.at = found
            if self.text.startswith("<!--", found):
                self.at += 4
                self.upto("-->", "a comment")
            elif self.text.startswith("<![CDATA[", found):
                self.at += 9
                element.text += self.upto("]]>", "CDATA")
            elif self.text.startswith("</", found):
                self.at += 2
                name = self.name("an element's name")
                self.space()
                if name != element.name:
                    self.fail(f"<{element.name}> is closed by </{name}>", found)
                if not self.text.startswith(">", self.at):
                    self.fail(f"</{name} has no >")
                self.at += 1
                return
            else:
                element.children.append(self.element(depth + 1))
