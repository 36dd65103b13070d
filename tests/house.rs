//! Checks docs/architecture.md against the tree: folders and files, dependencies between modules, places of unsafe code, long
//! files, and crates.
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Names = BTreeSet<String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(root().join("docs/architecture.md")).unwrap()
}

/// Returns every file below a folder, as a path relative to the folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found
}

/// Returns the words between backquotes.
fn quoted(text: &str) -> Names {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the rest of the sentence that begins with `start`.
fn sentence<'d>(document: &'d str, start: &str) -> &'d str {
    let rest = document.split_once(start).unwrap_or_else(|| panic!("no '{start}'")).1;
    let end = [". ", ".\n"].iter().filter_map(|end| rest.find(end)).min();
    &rest[..end.unwrap()]
}

/// Returns the lines of the indented block after `start`.
fn block<'d>(document: &'d str, start: &str) -> impl Iterator<Item = &'d str> {
    let rest = document.split_once(start).unwrap_or_else(|| panic!("no '{start}'")).1;
    rest.lines().skip_while(|line| !line.starts_with("    ")).take_while(|line| line.starts_with("    "))
}

/// Returns the folder list of the document: each path with its description.
fn drawing(document: &str) -> BTreeMap<PathBuf, String> {
    const TEXT: usize = 27;
    let mut rooms: Vec<(Vec<PathBuf>, String)> = Vec::new();
    for line in block(document, "## The rooms") {
        let (names, text) = line.split_at_checked(TEXT).unwrap_or((line, ""));
        match (names.trim(), rooms.last_mut()) {
            ("", Some((_, said))) => said.extend(["\n", text]),
            (names, _) => {
                let parent = if line.starts_with("      ") { "core/src" } else { "" };
                let paths = names.split_whitespace().map(|name| Path::new(parent).join(name)).collect();
                rooms.push((paths, text.to_owned()));
            }
        }
    }
    rooms.into_iter().flat_map(|(paths, text)| paths.into_iter().map(move |path| (path, text.clone()))).collect()
}

#[test]
fn the_folder_list_matches_the_tree() {
    let document = document();
    let drawing = drawing(&document);
    for path in drawing.keys() {
        assert!(root().join(path).exists(), "{} isn't there", path.display());
    }
    // What .gitignore names: `target`, and the build trees of README.
    let hidden = |name: &str| {
        name.starts_with('.') && name != ".ci" || ["target", "build"].contains(&name) || name.starts_with("build-")
    };
    for entry in fs::read_dir(root()).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        let drawn = drawing.contains_key(Path::new(&name));
        assert!(drawn || hidden(&name) || entry.path().is_file(), "{name}/ isn't drawn");
    }
    for path in files(&root().join("core/src")) {
        let (path, name) = (Path::new("core/src").join(&path), path.rsplit('/').next().unwrap());
        let folder = path.parent().unwrap();
        if ["lib.rs", "mod.rs"].contains(&name) || drawing.contains_key(&path) {
            continue;
        }
        let said = drawing.get(folder).unwrap_or_else(|| panic!("{}/ isn't drawn", folder.display()));
        assert!(said.contains(name), "{} isn't drawn", path.display());
    }
    for (folder, said) in
        drawing.iter().filter(|(folder, _)| folder.starts_with("core/src") && root().join(folder).is_dir())
    {
        let words = said.split(|c: char| !c.is_alphanumeric() && !"._/".contains(c));
        for name in words.map(|word| word.trim_end_matches('.')).filter(|word| word.ends_with(".rs")) {
            assert!(root().join(folder).join(name).exists(), "{}/{name} isn't there", folder.display());
        }
    }
}

/// Returns the top-level module of a path in core/src, or of a path after `crate::`. `native/load` counts as a module of its own.
fn room(path: &str) -> &str {
    match path.strip_prefix("native/load") {
        Some(_) => "native/load",
        None => path.split(['/', '.']).next().unwrap(),
    }
}

#[test]
fn module_dependencies_match_the_list() {
    let document = document();
    let everybodys = ["error", "limits", "alloc", "fork", "Error", "Result"];
    let drawn = block(&document, "Who uses whom;").map(|line| {
        let mut names = line.split_whitespace().map(str::to_owned);
        (names.next().unwrap(), names.collect::<Names>())
    });
    let drawn: BTreeMap<String, Names> = drawn.collect();
    let mut found = BTreeMap::<String, Names>::new();
    for path in files(&root().join("core/src")).iter().filter(|path| path.ends_with(".rs")) {
        let from = room(path);
        if ["lib", "error", "limits", "alloc", "fork"].contains(&from) {
            continue;
        }
        let text = fs::read_to_string(root().join("core/src").join(path)).unwrap();
        for used in text.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
            let used = used.replace("::", "/");
            let to = room(&used);
            if to != from && !everybodys.contains(&to) {
                found.entry(from.to_owned()).or_default().insert(to.to_owned());
            }
        }
    }
    found.entry("format".to_owned()).or_default();
    assert_eq!(found, drawn);
}

#[test]
fn unsafe_code_is_where_the_document_says() {
    let document = document();
    let said = quoted(sentence(&document, "Unsafe code is in "));
    let is_unsafe = |line: &str| {
        let code = line.split("//").next().unwrap();
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| code.contains(word))
    };
    let mut found = Names::new();
    for source in ["core/src", "src", "cli/src"] {
        for path in files(&root().join(source)).iter().filter(|path| path.ends_with(".rs")) {
            let path = format!("{source}/{path}");
            if fs::read_to_string(root().join(&path)).unwrap().lines().any(is_unsafe) {
                let place = said.iter().find(|place| path.starts_with(place.as_str()));
                found.insert(place.unwrap_or_else(|| panic!("{path} has unsafe code")).clone());
            }
        }
    }
    assert_eq!(found, said);
}

/// A lock that is held while the process forks, or a value that is being computed, keeps the child waiting for ever.
#[test]
fn locks_go_through_one_place() {
    // The locks of hashing belong to one call, and so to one process.
    let exceptions = ["core/src/fork.rs", "core/src/trust/hashing.rs"];
    for source in ["core/src", "src"] {
        for path in files(&root().join(source)).iter().filter(|path| path.ends_with(".rs")) {
            let path = format!("{source}/{path}");
            let text = fs::read_to_string(root().join(&path)).unwrap();
            let words =
                ["get_or_init", "call_once", "LazyLock", "Condvar", ".lock()", ".write().unwrap", ".read().unwrap"];
            let found = words.iter().find(|word| text.contains(**word));
            assert!(found.is_none() || exceptions.contains(&path.as_str()), "{path}: {}", found.unwrap_or(&""));
        }
    }
}

#[test]
fn long_files_are_listed() {
    let document = document();
    let mut long = Names::new();
    for folder in [
        "src",
        "core",
        "cli",
        "include",
        "tests",
        "c_tests",
        "benches",
        "examples",
        "demo",
        "fuzz/targets",
        "remotes",
        "python",
        "integrations",
    ] {
        for path in files(&root().join(folder)) {
            let path = format!("{folder}/{path}");
            let is_code = [".rs", ".c", ".h", ".cc", ".cpp", ".hpp", ".py"].iter().any(|end| path.ends_with(end));
            if is_code && fs::read_to_string(root().join(&path)).unwrap().lines().count() > 500 {
                long.insert(path);
            }
        }
    }
    assert_eq!(long, quoted(sentence(&document, "Files over 500 lines: ")));
}

#[test]
fn the_crate_table_is_complete() {
    let document = document();
    let table = document.split_once("## Dependencies").unwrap().1;
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let said: Names = rows.flat_map(|line| quoted(line.split('|').nth(1).unwrap())).collect();
    let mut found = Names::new();
    for manifest in ["Cargo.toml", "core/Cargo.toml", "cli/Cargo.toml"] {
        let manifest = fs::read_to_string(root().join(manifest)).unwrap();
        let mut inside = false;
        for line in manifest.lines() {
            match line.split_once([' ', '.']) {
                _ if line.starts_with('[') => inside = line.ends_with("dependencies]"),
                Some((name, _)) if inside && !["#", "libartifact"].contains(&name) => {
                    found.insert(name.to_owned());
                }
                _ => {}
            }
        }
    }
    assert_eq!(found, said);
}
