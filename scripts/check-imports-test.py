#!/usr/bin/env python3
"""Whether check-imports.py sees what it should, on crates made for that."""

import importlib.util
import tempfile
from pathlib import Path

spec = importlib.util.spec_from_file_location("check_imports", Path(__file__).with_name("check-imports.py"))
check_imports = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_imports)
check_imports.KNOWN = {}


def wrong(crate, files):
    """What is wrong with a crate of that name which has these files."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / crate / "src"
        for name, text in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        (source.parent / "Cargo.toml").touch()
        return check_imports.check(Path(directory))


ROOT = "mod low;\npub mod high;\npub use high::{Roof, deeper::Cellar as Vault};\n"

# Imports that run one way, and what must not count: comments, text, tests and paths within a room.
assert wrong("rtcast-proto", {
    "lib.rs": ROOT,
    "high/mod.rs": "mod part;\nuse crate::low::Ground;\n",
    "high/part.rs": "use super::Roof;\nuse crate::{high, low::{Ground, Other}};\n",
    "low/mod.rs": "//! See [`crate::high::Roof`].\nmod tests;\nconst T: &str = \"crate::high\";\nconst C: char = '\"';\n"
                  "#[cfg(test)]\nmod inline { use crate::high::Roof; fn f() { let x = '{'; } }\n"
                  "#[cfg(test)]\nuse crate::high::Roof;\n",
    "low/part.rs": "#[cfg(test)]\nmod tests;\n",
    "low/part/tests.rs": "use crate::high::Roof;\nuse rtcast_peer::Peer;\n",
}) == []

# A circle of two, by each form of an import; both its files are named.
for form in [
    "use crate::high::Roof;",
    "use crate::{other, high::{self, Roof}};",
    "use crate::Roof;",
    "fn f() { crate::high::build() }",
    "use super::super::high;",
    "#[cfg(test)]\nfn test() {}\nuse crate::Vault;",
]:
    found = wrong("rtcast-proto", {
        "lib.rs": ROOT,
        "high/mod.rs": "use crate::low::Ground;\n",
        "low/mod.rs": "mod part;\n",
        "low/part.rs": form,
    })
    assert len(found) == 1 and "high → low → high" in found[0], (form, found)
    assert "high/mod.rs:1" in found[0] and "low/part.rs:" in found[0], found

# A circle of three is found although no two are one.
found = wrong("rtcast-proto", {
    "lib.rs": "mod a;\nmod b;\nmod c;\n",
    "a.rs": "use crate::b::B;",
    "b.rs": "use super::c::C;",
    "c.rs": "use super::{a::A};",
})
assert len(found) == 1 and "a → b → c → a" in found[0], found

# A crate that imports upward, and one that nobody knows.
found = wrong("rtcast-proto", {"lib.rs": "mod low;\n", "low.rs": "fn f() { rtcast_peer::connect() }"})
assert len(found) == 1 and "must not import rtcast-peer" in found[0] and "low.rs:1" in found[0], found
assert wrong("rtcast-media", {"lib.rs": "use rtcast_track::Frame;\nuse rtcast_proto as proto;\n"}) == []
assert "not in the list" in wrong("rtcast-new", {"lib.rs": ""})[0]

# A known arrow is let through, and missed when it is gone.
check_imports.KNOWN = {"rtcast-proto": {("low", "high"): "for a test"}}
files = {"lib.rs": ROOT, "high.rs": "use crate::low::Ground;\n", "low.rs": "use crate::high::Roof;\n"}
assert wrong("rtcast-proto", files) == []
assert "take it off" in wrong("rtcast-proto", {**files, "low.rs": ""})[0]
