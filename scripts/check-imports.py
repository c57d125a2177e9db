#!/usr/bin/env python3
"""Fails if an import runs the wrong way: between crates, or in a circle between the rooms of one crate.

A room is a module that the crate's root declares, with all below it. What is counted are `use` lines and paths that begin
with `crate::`, `super::` or `rtcast_*::`, in src/ and outside tests. The root itself only declares and re-exports; a name
that it re-exports counts as the room that it is from.

    scripts/check-imports.py [directory of the crates]
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

# What each crate may import. Tests may import more.
ALLOWED = {
    "rtcast-proto": set(),
    "rtcast-track": {"rtcast-proto"},
    "rtcast-peer": {"rtcast-proto", "rtcast-track"},
    "rtcast-media": {"rtcast-proto", "rtcast-track"},
    "rtcast": {"rtcast-proto", "rtcast-track", "rtcast-peer", "rtcast-media"},
    "rtcast-server": {"rtcast-proto", "rtcast-track", "rtcast-peer", "rtcast-media", "rtcast"},
    "rtcast-bench": {"rtcast-proto", "rtcast-track", "rtcast-peer"},
    "rtcast-cli": {
        "rtcast-proto", "rtcast-track", "rtcast-peer", "rtcast-media", "rtcast", "rtcast-server", "rtcast-bench",
    },
}

# Somebody else's code, and what only tests import.
LEFT_OUT = {"rtcast-dimpl", "rtcast-testkit"}

# Arrows that are part of a circle and stay for a reason. One that is no longer there has to go from this list, too.
KNOWN = {
    "rtcast-media": {
        # A decoder that is not built in is the ffmpeg program, which is also a reader of containers.
        ("container", "codec"): "ffmpeg is a container and a decoder",
    },
    "rtcast-server": {
        # The state that all requests share counts what the server tells, and holds the sessions of WHEP.
        ("state", "server"): "the shared state counts for ServerStats",
        ("state", "whep"): "the shared state holds the table of WHEP sessions",
        ("metrics", "server"): "the metrics are ServerStats in another form",
        ("websocket", "router"): "a connection's place in the quota comes with its route",
    },
}

COMMENT_OR_TEXT = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(\#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\(?:x..|u\{[^}]*\}|.)|[^'\\\n])'""", re.S
)
TEST_ITEM = re.compile(r"#\[cfg\((?:all\()?test\b[^\]]*\]\s*(?:#\[(?:[^\[\]]|\[[^\]]*\])*\]\s*)*")
PATH = re.compile(r"(?<![\w:])(?:\$?(crate)|((?:self::)?super(?:::super)*)|(rtcast(?:_\w+)?))::([\w{*])")


def without_comments(text):
    """The code alone, each line where it was."""
    return COMMENT_OR_TEXT.sub(lambda match: '""' + "\n" * match[0].count("\n"), text)


def without_tests(text):
    """The code without items that only tests have, and the names of the modules among those."""
    modules = set()
    while match := TEST_ITEM.search(text):
        end = match.end()
        if declared := re.match(r"(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;", text[end:]):
            modules.add(declared[1])
        depth = 0
        while end < len(text):
            if text[end] in "{([":
                depth += 1
            elif text[end] in "})]":
                depth -= 1
                # A block ends the item; brackets may be those of arguments.
                if depth == 0 and text[end] == "}":
                    break
                if depth < 0:
                    end -= 1
                    break
            elif text[end] == ";" and depth == 0 or text[end] == "," and depth == 0:
                break
            end += 1
        cut = text[match.start() : end + 1]
        text = text[: match.start()] + "\n" * cut.count("\n") + text[end + 1 :]
    return text, modules


def first_names(text, start):
    """The first names of what a path goes on with: one, or those of a group in braces."""
    if text[start] != "{":
        return [re.match(r"\w+|\*", text[start:])[0]]
    names, depth, fresh = [], 0, False
    for token in re.finditer(r"[{},]|\w+|\*", text[start:]):
        if token[0] == "{":
            depth += 1
            fresh = depth == 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                break
        elif token[0] == ",":
            fresh = depth == 1
        elif fresh:
            names.append(token[0])
            fresh = False
    return names


class Crate:
    """One crate: the arrows between its rooms and to other crates, each with the places that draw it."""

    def __init__(self, directory):
        self.name = directory.name
        self.source = directory / "src"
        self.rooms = defaultdict(lambda: defaultdict(list))
        self.crates = defaultdict(list)
        files = {path: without_tests(without_comments(path.read_text())) for path in sorted(self.source.rglob("*.rs"))}
        only_tests = {path.parent / name if path.stem in ("mod", "lib", "main") else path.with_suffix("") / name
                      for path, (_, modules) in files.items() for name in modules}
        files = {path: text for path, (text, _) in files.items()
                 if not any(base in only_tests for base in [path.with_suffix(""), *path.parents])}
        root = "".join(text for path, text in files.items() if path.parent == self.source and path.stem in ("lib", "main"))
        self.declared = set(re.findall(r"\bmod\s+(\w+)\s*;", root))
        self.exported = {}
        for room, names in re.findall(r"\buse\s+(?:self::|crate::)?(\w+)::([^;]+);", root):
            if room in self.declared:
                self.exported.update(dict.fromkeys(re.findall(r"\w+", names), room))
        for path, text in files.items():
            self.read(path, text)

    def read(self, path, text):
        module = list(path.relative_to(self.source).with_suffix("").parts)
        if module[-1] in ("mod", "lib", "main"):
            module.pop()
        # Inline modules are one level deeper; here it matters only that `super` stays within the room.
        for match in PATH.finditer(text):
            at = f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
            if match[3]:
                crate = match[3].replace("_", "-")
                if crate != self.name:
                    self.crates[crate].append(at)
                continue
            above = match[2].count("super") if match[2] else len(module)
            if not module or above < len(module) or above > len(module):
                continue
            for name in first_names(text, match.start(4)):
                room = name if name in self.declared else self.exported.get(name)
                if room and room != module[0]:
                    self.rooms[module[0]][room].append(at)

    def circle(self, hidden):
        """The shortest circle of rooms without the hidden arrows, or None."""
        shortest = None
        for start in sorted(self.rooms):
            before, queue = {start: None}, [start]
            for room in queue:
                for after in sorted(self.rooms.get(room, ())):
                    if (room, after) in hidden:
                        continue
                    if after == start:
                        way = [room]
                        while before[way[-1]] is not None:
                            way.append(before[way[-1]])
                        if shortest is None or len(way) < len(shortest):
                            shortest = way[::-1]
                        queue = []
                        break
                    if after not in before:
                        before[after] = room
                        queue.append(after)
                if not queue:
                    break
        return shortest


def places(of):
    return ", ".join(of[:4]) + (f" and {len(of) - 4} more" if len(of) > 4 else "")


def check(directory):
    """All that is wrong, in words."""
    wrong = []
    for manifest in sorted(directory.glob("*/Cargo.toml")):
        name = manifest.parent.name
        if name in LEFT_OUT:
            continue
        if name not in ALLOWED:
            wrong.append(f"{name} is not in the list of what each crate may import: add it to scripts/check-imports.py")
            continue
        crate = Crate(manifest.parent)
        for other, at in sorted(crate.crates.items()):
            if other not in ALLOWED[name]:
                wrong.append(f"{name} must not import {other}, but does:\n    {places(at)}")
        known = KNOWN.get(name, {})
        for arrow in sorted(known):
            if arrow[1] not in crate.rooms.get(arrow[0], {}):
                wrong.append(f"{name}: {arrow[0]} → {arrow[1]} is a known arrow but is not there: take it off the list")
        hidden = set(known)
        while way := crate.circle(hidden):
            arrows = list(zip(way, way[1:] + way[:1]))
            lines = [f"    {start} → {end}: {places(crate.rooms[start][end])}" for start, end in arrows]
            wrong.append(f"{name}: a circle of rooms, {' → '.join(way + way[:1])}:\n" + "\n".join(lines))
            # Each circle is told once: the arrow with the fewest places is taken for the one that is too much.
            hidden.add(min(arrows, key=lambda arrow: len(crate.rooms[arrow[0]][arrow[1]])))
    return wrong


def main():
    default = Path(__file__).resolve().parent.parent / "crates"
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    if directory.is_relative_to(Path.cwd()):
        directory = directory.relative_to(Path.cwd())
    wrong = check(directory)
    for problem in wrong:
        print(problem, file=sys.stderr)
    if wrong:
        sys.exit(f"{len(wrong)} imports run the wrong way; docs/architecture.md says which way they may")


if __name__ == "__main__":
    main()
