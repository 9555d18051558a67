//! Small trees that each break one rule, and the finding that each must give.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

const POLICY: &str = r#"
[[edge]]
from = "http-api"
to = "server"
reason = "a test"

[[forbidden-edge]]
from = "http-api"
to = ["store"]
reason = "through `server` only"

[pure]
crates = ["codec", "broker"]
dependencies = ["bytes", "ahash"]
without-default-features = ["ahash"]
paths = ["std::fs", "std::time::Instant", "std::collections::HashMap"]
clippy-methods = ["std::time::Instant::now"]
clippy-types = ["std::fs::File"]

[names]
words = ["utils", "manager"]
whole = ["types"]

[files]
lines-max = 30
"#;

const CODE_MAP: &str = "\
| layer | crate | owns |
|---|---|---|
| L0 | `codec` | bytes |
| L2 | `broker` | a shard |
| L3 | `store` | keys |
| L4 | `server` | joins |
| L4 | `http-api` | HTTP |
| dev | `harness` | tests |
| dev | `xtask` | chores |
";

const PURE_LINTS: &str = "disallowed-methods = [\"std::time::Instant::now\"]\n\
    disallowed-types = [{ path = \"std::fs::File\", reason = \"pure\" }]\n";

/// A tree in which nothing is wrong.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn sound() -> Self {
        let fixture = Self {
            folder: tempfile::tempdir().expect("a folder for the test"),
        };
        fixture.write("xtask/tidy.toml", POLICY);
        fixture.write("ARCHITECTURE.md", CODE_MAP);
        fixture.write(
            "Cargo.toml",
            "[workspace.dependencies]\nahash = { version = \"1\", default-features = false }\nbytes = \"1\"\n",
        );
        fixture.package("crates/codec", "codec", "bytes.workspace = true");
        fixture.package(
            "crates/broker",
            "broker",
            "codec.workspace = true\nahash.workspace = true",
        );
        fixture.package("crates/store", "store", "codec.workspace = true");
        fixture.package("crates/server", "server", "broker.workspace = true");
        fixture.package("crates/http-api", "http-api", "server.workspace = true");
        fixture.package("crates/harness", "harness", "");
        fixture.package("xtask", "xtask", "");
        fixture.write("crates/codec/clippy.toml", PURE_LINTS);
        fixture.write("crates/broker/clippy.toml", PURE_LINTS);
        fixture.write(
            "crates/broker/src/shard.rs",
            "//! The state.\npub struct Shard;\n",
        );
        fixture.write(
            "crates/broker/src/publish.rs",
            "//! A part.\nuse crate::shard::Shard;\nimpl Shard { fn publish(&mut self) {} }\n",
        );
        fixture.write(
            "crates/broker/src/lib.rs",
            "//! A shard.\nmod publish;\nmod shard;\npub use shard::Shard;\n",
        );
        fixture.write(
            "web/src/app.svelte",
            "<script lang=\"ts\">\n// The page.\n</script>\n",
        );
        fixture
    }

    fn package(&self, folder: &str, name: &str, dependencies: &str) {
        let manifest = format!("[package]\nname = \"{name}\"\n\n[dependencies]\n{dependencies}\n");
        self.write(&format!("{folder}/Cargo.toml"), &manifest);
        self.write(&format!("{folder}/src/lib.rs"), "//! A crate.\n");
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("can write");
        fs::write(path, text).expect("can write");
    }

    fn append(&self, path: &str, text: &str) {
        let before = fs::read_to_string(self.folder.path().join(path)).expect("is there");
        self.write(path, &format!("{before}{text}"));
    }

    fn findings(&self) -> Vec<String> {
        let found = findings(self.folder.path()).expect("the tree can be read");
        found.iter().map(ToString::to_string).collect()
    }
}

/// Writes `files` (path, text) over the sound tree and expects exactly one finding that begins and contains so.
fn check(files: &[(&str, &str)], place: &str, says: &str) {
    let fixture = Fixture::sound();
    for (path, text) in files {
        fixture.write(path, text);
    }
    let findings = fixture.findings();
    let [finding] = &findings[..] else {
        panic!("expected one finding at {place}: {findings:#?}");
    };
    assert!(finding.starts_with(&format!("{place}: ")), "{finding}");
    assert!(finding.contains(says), "{finding}");
}

#[test]
fn a_sound_tree_has_no_findings() {
    assert_eq!(Fixture::sound().findings(), Vec::<String>::new());
}

#[test]
fn an_upward_edge_is_found_in_normal_and_build_dependencies() {
    for table in [
        "dependencies",
        "build-dependencies",
        "target.'cfg(unix)'.dependencies",
    ] {
        let manifest =
            format!("[package]\nname = \"store\"\n\n[{table}]\nserver.workspace = true\n");
        let says = "upward edge `store` -> `server` (L3 -> L4)";
        check(
            &[("crates/store/Cargo.toml", &manifest)],
            "crates/store/Cargo.toml:5",
            says,
        );
    }
}

#[test]
fn an_edge_within_a_layer_needs_the_policy() {
    let manifest =
        "[package]\nname = \"server\"\n[dependencies]\nhttp-api.path = \"../http-api\"\n";
    check(
        &[("crates/server/Cargo.toml", manifest)],
        "crates/server/Cargo.toml:4",
        "edge `server` -> `http-api` within layer L4",
    );
}

#[test]
fn a_forbidden_edge_is_found_under_another_name() {
    let manifest = "[package]\nname = \"http-api\"\n[dependencies]\nserver.workspace = true\n\
        keys = { package = \"store\", path = \"../store\" }\n";
    check(
        &[("crates/http-api/Cargo.toml", manifest)],
        "crates/http-api/Cargo.toml:5",
        "forbidden edge `http-api` -> `store`; through `server` only",
    );
}

#[test]
fn the_harness_is_for_tests_only() {
    let manifest =
        |table| format!("[package]\nname = \"store\"\n[{table}]\nharness.workspace = true\n");
    check(
        &[("crates/store/Cargo.toml", &manifest("dependencies"))],
        "crates/store/Cargo.toml:4",
        "to a crate for tests",
    );
    let fixture = Fixture::sound();
    fixture.write("crates/store/Cargo.toml", &manifest("dev-dependencies"));
    assert_eq!(fixture.findings(), Vec::<String>::new());
}

#[test]
fn every_crate_has_a_row_and_every_row_a_crate() {
    let manifest = "[package]\nname = \"push\"\n";
    check(
        &[
            ("crates/push/Cargo.toml", manifest),
            ("crates/push/src/lib.rs", "//! Push.\n"),
        ],
        "crates/push/Cargo.toml:1",
        "crate `push` has no layer",
    );
    let map = format!("{CODE_MAP}| L3 | `search` | texts |\n");
    check(
        &[("ARCHITECTURE.md", &map)],
        "ARCHITECTURE.md:10",
        "`search`, which is not there",
    );
}

#[test]
fn an_unused_exception_is_found() {
    let manifest = "[package]\nname = \"http-api\"\n";
    check(
        &[("crates/http-api/Cargo.toml", manifest)],
        "xtask/tidy.toml:1",
        "`http-api` -> `server` is not used",
    );
}

#[test]
fn a_pure_crate_may_not_depend_on_io() {
    let manifest = "[package]\nname = \"codec\"\n[dependencies]\nbytes.workspace = true\ntokio.workspace = true\n";
    check(
        &[("crates/codec/Cargo.toml", manifest)],
        "crates/codec/Cargo.toml:5",
        "pure crate `codec` depends on `tokio`",
    );
}

#[test]
fn random_seeds_are_found_in_the_workspace_and_in_a_crate() {
    let workspace = "[workspace.dependencies]\nahash = \"1\"\n";
    check(
        &[("Cargo.toml", workspace)],
        "Cargo.toml:2",
        "`ahash` with its default features",
    );
    let manifest = "[package]\nname = \"server\"\n[dependencies]\nbroker.workspace = true\n\
        ahash = { version = \"1\", default-features = true }\n";
    check(
        &[("crates/server/Cargo.toml", manifest)],
        "crates/server/Cargo.toml:5",
        "`ahash` with its default features",
    );
}

#[test]
fn a_pure_crate_may_not_name_the_clock_or_files() {
    for (code, path) in [
        ("use std::{fs::File, fmt};", "std::fs"),
        (
            "fn f() { std::time::Instant::now(); }",
            "std::time::Instant",
        ),
        (
            "use std::collections::{BTreeMap, HashMap};",
            "std::collections::HashMap",
        ),
    ] {
        let source = format!("//! A crate.\n{code}\n");
        check(
            &[("crates/codec/src/lib.rs", &source)],
            "crates/codec/src/lib.rs:2",
            &format!("names `{path}`"),
        );
    }
    let fixture = Fixture::sound();
    fixture.append(
        "crates/codec/src/lib.rs",
        "// std::fs\nuse std::time::Duration;\n#[cfg(test)]\nmod tests { use std::collections::HashMap; }\n",
    );
    assert_eq!(fixture.findings(), Vec::<String>::new());
}

#[test]
fn a_pure_crate_needs_its_lints() {
    let lints = "disallowed-methods = []\ndisallowed-types = [\"std::fs::File\"]\n";
    check(
        &[("crates/codec/clippy.toml", lints)],
        "crates/codec/clippy.toml:1",
        "disallowed-methods lacks std::time::Instant::now",
    );
}

#[test]
fn a_module_cycle_is_found_through_any_spelling() {
    for back in [
        "use crate::a::A;",
        "use super::a;",
        "fn f() -> crate::a::A { todo() }",
        "use crate::Named;",
        "mod inner { use super::super::a::A; }",
    ] {
        let b = format!("//! B.\n{back}\n");
        let files: [(&str, &str); 4] = [
            (
                "crates/store/src/lib.rs",
                "//! A crate.\nmod a;\nmod b;\nmod c;\npub use a::A as Named;\n",
            ),
            ("crates/store/src/a.rs", "//! A.\nuse crate::c::C;\n"),
            ("crates/store/src/b.rs", &b),
            ("crates/store/src/c/mod.rs", "//! C.\nuse crate::b::B;\n"),
        ];
        check(
            &files,
            "crates/store/src/a.rs:2",
            "module cycle: `a` needs `c`",
        );
    }
}

#[test]
fn tests_and_reexports_make_no_cycle() {
    let fixture = Fixture::sound();
    fixture.write(
        "crates/store/src/lib.rs",
        "//! A crate.\nmod a;\nmod b;\npub use a::A;\npub use b::B;\n",
    );
    fixture.write("crates/store/src/a.rs", "//! A.\nuse crate::b::B;\n");
    fixture.write(
        "crates/store/src/b.rs",
        "//! B.\n// crate::a\n#[cfg(test)]\nmod tests;\n",
    );
    fixture.write(
        "crates/store/src/b/tests.rs",
        "//! Tests.\nuse crate::a::A;\n",
    );
    assert_eq!(fixture.findings(), Vec::<String>::new());
}

#[test]
fn a_state_machine_may_not_name_the_files_that_implement_it() {
    let shard = "//! The state.\nuse crate::publish::Publication;\npub struct Shard;\n";
    check(
        &[("crates/broker/src/shard.rs", shard)],
        "crates/broker/src/publish.rs:2",
        "module cycle: `publish` needs `shard`",
    );
}

#[test]
fn circles_of_files_are_found_within_a_folder_and_through_what_it_re_exports() {
    for back in [
        "use super::a::A;",
        "use super::Named;",
        "use crate::folder::Named;",
        "use crate::Named;",
    ] {
        let b = format!("//! B.\n{back}\n");
        let files: [(&str, &str); 4] = [
            (
                "crates/store/src/lib.rs",
                "//! A crate.\nmod folder;\npub use folder::Named;\n",
            ),
            (
                "crates/store/src/folder/mod.rs",
                "//! A folder.\nmod a;\nmod b;\npub use a::A as Named;\n",
            ),
            ("crates/store/src/folder/a.rs", "//! A.\nuse super::b::B;\n"),
            ("crates/store/src/folder/b.rs", &b),
        ];
        check(
            &files,
            "crates/store/src/folder/a.rs:2",
            "module cycle: `folder::a` needs `folder::b`",
        );
    }
}

#[test]
fn a_file_may_name_the_modules_that_it_stands_in() {
    let fixture = Fixture::sound();
    fixture.write("crates/store/src/lib.rs", "//! A crate.\nmod folder;\n");
    fixture.write(
        "crates/store/src/folder/mod.rs",
        "//! A folder.\nmod a;\nuse a::A;\npub struct Folder(A);\n",
    );
    fixture.write(
        "crates/store/src/folder/a.rs",
        "//! A.\nuse super::Folder;\n",
    );
    assert_eq!(fixture.findings(), Vec::<String>::new());
}

#[test]
fn folders_may_go_in_circles_only_where_the_policy_says_so() {
    let fixture = Fixture::sound();
    fixture.write("crates/store/src/lib.rs", "//! A crate.\nmod a;\nmod b;\n");
    for folder in ["a", "b"] {
        fixture.write(
            &format!("crates/store/src/{folder}/mod.rs"),
            "//! A folder.\nmod flow;\nmod state;\n",
        );
        fixture.write(
            &format!("crates/store/src/{folder}/state.rs"),
            "//! State.\npub struct State;\n",
        );
    }
    let flow = |of: &str| format!("//! A flow.\nuse crate::{of}::state::State;\n");
    fixture.write("crates/store/src/a/flow.rs", &flow("b"));
    fixture.write("crates/store/src/b/flow.rs", &flow("a"));
    let findings = fixture.findings();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert!(findings[0].contains("`a` needs `b`"), "{findings:#?}");

    let mixed = format!("{POLICY}[[mixed-folders]]\ncrate = \"store\"\nreason = \"a test\"\n");
    fixture.write("xtask/tidy.toml", &mixed);
    assert_eq!(fixture.findings(), Vec::<String>::new());
    fixture.write("crates/store/src/b/flow.rs", "//! A flow.\n");
    assert_eq!(fixture.findings().len(), 1, "not needed");
}

#[test]
fn names_that_say_nothing_are_found() {
    let source = "//! A file.\n";
    check(
        &[("crates/store/src/string_utils.rs", source)],
        "crates/store/src/string_utils.rs:1",
        "`string_utils.rs` (utils)",
    );
    check(
        &[("web/src/lib/types.ts", "// Shapes.\n")],
        "web/src/lib/types.ts:1",
        "`types.ts` (types)",
    );
    for (code, name) in [
        ("pub struct SessionManager;", "SessionManager"),
        ("mod utils {}", "utils"),
        ("type Types = u8;", "Types"),
    ] {
        let source = format!("//! A file.\n// utils\n{code}\n");
        check(
            &[("crates/store/src/lib.rs", &source)],
            "crates/store/src/lib.rs:3",
            &format!("`{name}`"),
        );
    }
}

#[test]
fn a_long_file_needs_a_reason() {
    let long = format!("//! A file.\n{}", "// more\n".repeat(30));
    check(
        &[("crates/store/src/lib.rs", &long)],
        "crates/store/src/lib.rs:31",
        "31 lines, 30 at most",
    );
    let no_reason = format!(
        "//! A file.\n// tidy: long because so\n{}",
        "// more\n".repeat(30)
    );
    check(
        &[("crates/store/src/lib.rs", &no_reason)],
        "crates/store/src/lib.rs:32",
        "32 lines",
    );
    check(
        &[("tests/clients/python/chat.py", &"# more\n".repeat(31))],
        "tests/clients/python/chat.py:31",
        "31 lines",
    );
    let fixture = Fixture::sound();
    let reason = "// tidy: long because one table of cases is read at once\n";
    let reasoned = format!("//! A file.\n{reason}{}", "// more\n".repeat(30));
    fixture.write("crates/store/src/lib.rs", &reasoned);
    assert_eq!(fixture.findings(), Vec::<String>::new());
    let short = format!("//! A file.\n{reason}");
    check(
        &[("crates/store/src/lib.rs", &short)],
        "crates/store/src/lib.rs:1",
        "need no reason",
    );
}

#[test]
fn a_file_begins_with_what_it_owns() {
    check(
        &[(
            "crates/store/tests/cases.rs",
            "use store::Store;\n//! Late.\n",
        )],
        "crates/store/tests/cases.rs:1",
        "no file header",
    );
    check(
        &[("web/src/markers.ts", "export const a = 1;\n")],
        "web/src/markers.ts:1",
        "no file header",
    );
    check(
        &[(
            "web/src/Late.svelte",
            "<script>\nlet a;\n// Late.\n</script>\n",
        )],
        "web/src/Late.svelte:1",
        "no file header",
    );
    let fixture = Fixture::sound();
    fixture.write("web/src/Early.svelte", "<!-- A part. -->\n<p>hi</p>\n");
    fixture.write("web/vite.config.ts", "export default {};\n");
    assert_eq!(fixture.findings(), Vec::<String>::new());
}

#[test]
fn what_is_installed_or_generated_is_not_looked_at() {
    let fixture = Fixture::sound();
    fixture.write("web/node_modules/x/utils.ts", "");
    fixture.write("web/src/paraglide/types.ts", "");
    fixture.write("crates/store/target/utils.rs", "");
    assert_eq!(fixture.findings(), Vec::<String>::new());
}

#[test]
fn the_projects_own_policy_can_be_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let policy = Policy::read(&root).expect("xtask/tidy.toml has the right form");
    assert_eq!(policy.files.lines_max, 600);
}

#[test]
fn the_project_itself_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let findings = findings(&root).expect("the sources can be read");
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}
