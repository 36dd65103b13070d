//! Names the shared library. With feature `header`, generates artifact.h from the doc comments in src/ into OUT_DIR;
//! tests/header.rs compares it with the committed one.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Loaded code may leave destructors of threads behind, which are functions of the library: it is never unloaded.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libartifact.so.{}", env!("CARGO_PKG_VERSION_MAJOR"));
    #[cfg(feature = "header")]
    header::generate();
}

#[cfg(feature = "header")]
mod header {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::{env, fs};

    const SOURCE: &str = "src";
    const TEMPLATE: &str = "include/artifact.h.in";

    pub fn generate() {
        for path in [SOURCE, TEMPLATE, "cbindgen.toml"] {
            println!("cargo::rerun-if-changed={path}");
        }
        fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("artifact.h"), header()).unwrap();
    }

    /// Fills the template: `@engine.rs@` is what src/engine.rs gives to C, `@handles@` every opaque type.
    fn header() -> String {
        let template = read(TEMPLATE);
        let mut header = template.clone();
        let mut handles = Vec::new();
        let mut files = source_files();
        for line in template.lines() {
            let Some(file) = line.strip_prefix('@').and_then(|line| line.strip_suffix('@')) else { continue };
            if files.remove(file) {
                header = header.replace(line, &items(&format!("{SOURCE}/{file}"), &mut handles));
            }
        }
        for file in files {
            if !items(&format!("{SOURCE}/{file}"), &mut handles).is_empty() {
                fail(&format!("{TEMPLATE} has no line @{file}@"));
            }
        }
        for (place, text) in [
            ("@handles@", handles.join("\n\n").as_str()),
            ("@VERSION@", env!("CARGO_PKG_VERSION")),
            ("@MAJOR@", env!("CARGO_PKG_VERSION_MAJOR")),
            ("@MINOR@", env!("CARGO_PKG_VERSION_MINOR")),
            ("@PATCH@", env!("CARGO_PKG_VERSION_PATCH")),
        ] {
            header = header.replace(place, text);
        }
        if let Some(line) = header.lines().find(|line| line.starts_with('@') && line.ends_with('@')) {
            fail(&format!("{TEMPLATE} asks for {line}, which {SOURCE} doesn't have"));
        }
        header
    }

    fn read(path: &str) -> String {
        fs::read_to_string(path).unwrap_or_else(|error| fail(&format!("{path}: {error}")))
    }

    fn source_files() -> BTreeSet<String> {
        let names = fs::read_dir(SOURCE).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".rs") && name != "lib.rs").collect()
    }

    /// What one file gives to C, types first, then functions as they stand in it. Opaque types go to `handles`, since
    /// the objects know one another in circles.
    fn items(path: &str, handles: &mut Vec<String>) -> String {
        let source = read(path);
        let mut config = cbindgen::Config::from_file("cbindgen.toml").unwrap();
        // Enums are passed as numbers, so that cbindgen would find no use of them.
        config.export.include = source.lines().filter_map(type_name).map(String::from).collect();
        let bindings = cbindgen::Builder::new().with_config(config).with_src(path).generate();
        let mut text = Vec::new();
        bindings.unwrap_or_else(|error| fail(&error.to_string())).write(&mut text);

        let text = String::from_utf8(text).unwrap();
        let (opaque, items): (Vec<_>, Vec<_>) = text.trim().split("\n\n").map(tidy).partition(|item| is_handle(item));
        handles.extend(opaque);
        items.join("\n\n")
    }

    fn type_name(line: &str) -> Option<&str> {
        let name = ["pub enum ", "pub struct ", "pub type "].iter().find_map(|start| line.strip_prefix(start))?;
        name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
    }

    fn is_handle(item: &str) -> bool {
        let code = item.rsplit("*/").next().unwrap().trim();
        code.starts_with("typedef struct") && !code.contains(['{', '('])
    }

    fn tidy(item: &str) -> String {
        let item = short_comments(&without_safety(item));
        with_tag(&item, "typedef struct {").or_else(|| with_tag(&item, "typedef enum {")).unwrap_or(item)
    }

    /// Rust's `# Safety` sections say what C takes for granted.
    fn without_safety(item: &str) -> String {
        let Some((before, after)) = item.split_once(" * # Safety\n") else { return item.to_string() };
        let end = after.find(" */").unwrap_or(after.len());
        format!("{}\n{}", before.trim_end_matches(['\n', ' ', '*']), &after[end..])
    }

    /// Comments of one line take one line.
    fn short_comments(item: &str) -> String {
        let mut lines: Vec<String> = Vec::new();
        for line in item.lines() {
            lines.push(line.to_string());
            if let [.., start, text, end] = lines.as_slice()
                && (start.trim(), end.trim()) == ("/**", "*/")
            {
                let short = format!("{start} {} */", text.trim().trim_start_matches("* "));
                if short.len() <= 120 {
                    lines.truncate(lines.len() - 3);
                    lines.push(short);
                }
            }
        }
        lines.join("\n")
    }

    /// A struct or enum that others can declare without this header: its tag is its name.
    fn with_tag(item: &str, start: &str) -> Option<String> {
        let (_, name) = item.rsplit_once("} ")?;
        let tagged = format!("{} {} {{", start.trim_end_matches(" {"), name.trim_end_matches(';'));
        item.contains(start).then(|| item.replacen(start, &tagged, 1))
    }

    fn fail(message: &str) -> ! {
        println!("cargo::error={message}");
        std::process::exit(1);
    }
}
