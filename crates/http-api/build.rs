//! Builds the web client with npm inside OUT_DIR, so that the source tree stays clean, for `src/web.rs` to embed.
//! Without Node it embeds a page that says how to get it, and says so in one line.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// What is in the web client's folder and nothing that it is built from.
const NOT_SOURCE: [&str; 10] = [
    "node_modules",
    "dist",
    "test",
    "e2e",
    ".svelte-kit",
    ".vite",
    "paraglide",
    "test-results",
    "playwright-report",
    "coverage",
];
/// The oldest Node.js that the client's build tool takes.
const NODE_MIN: (u32, u32) = (20, 19);
/// Compresses each text file in the folder beside itself; Node has gzip, so that no crate is needed for it.
const COMPRESS: &str = r#"
const fs = require("node:fs"), path = require("node:path"), zlib = require("node:zlib");
for (const name of fs.readdirSync(".", { recursive: true })) {
  if (!/\.(html|js|css|svg|json|webmanifest|txt|wasm)$/.test(name) || fs.statSync(name).size < 1024) continue;
  fs.writeFileSync(name + ".gz", zlib.gzipSync(fs.readFileSync(name), { level: 9 }));
}
"#;

/// Why the web client is not there.
enum Missing {
    /// Not wanted, or the machine lacks something: the page is embedded instead.
    Page(String),
    /// The source is there and does not build: the build fails.
    Broken(String),
}

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let crate_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let web = crate_dir.join("../../web");
    let embedded = out.join("web");
    println!("cargo:rerun-if-env-changed=MAGPIE_SKIP_WEB");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=pages");
    watch(&web)?;
    if embedded.exists() {
        fs::remove_dir_all(&embedded)?;
    }
    fs::create_dir_all(&embedded)?;
    match build(&web, &out.join("web-build"), &embedded) {
        Ok(()) => Ok(()),
        Err(Missing::Page(reason)) => {
            println!("cargo:warning=the web client is not in this build: {reason}");
            let page = fs::read_to_string(crate_dir.join("pages/no-web.html"))?;
            fs::write(
                embedded.join("index.html"),
                page.replace("{reason}", &escaped(&reason)),
            )
        }
        Err(Missing::Broken(reason)) => Err(io::Error::other(format!(
            "the web client does not build:\n{reason}"
        ))),
    }
}

fn build(web: &Path, work: &Path, embedded: &Path) -> Result<(), Missing> {
    if env::var_os("MAGPIE_SKIP_WEB").is_some_and(|skip| skip == "1") {
        return Err(Missing::Page("MAGPIE_SKIP_WEB=1 was set".to_owned()));
    }
    if !web.join("package-lock.json").is_file() {
        return Err(Missing::Page(
            "its source is not there (web/package-lock.json)".to_owned(),
        ));
    }
    check_node().inspect_err(|_| {
        // A file that never exists: the next build looks for Node again.
        println!("cargo:rerun-if-changed=node-was-missing");
    })?;
    copy_source(web, work).map_err(|error| broken(&error))?;
    install(work)?;
    run(work, "npm", &["run", "build"]).map_err(Missing::Broken)?;
    let dist = work.join("dist");
    copy_source(&dist, embedded).map_err(|error| broken(&error))?;
    if !embedded.join("index.html").is_file() {
        return Err(Missing::Broken(
            "`npm run build` left no dist/index.html".to_owned(),
        ));
    }
    run(embedded, "node", &["-e", COMPRESS]).map_err(Missing::Broken)
}

fn check_node() -> Result<(), Missing> {
    let said = Command::new("node").arg("--version").output();
    let said = said.map_err(|_| Missing::Page("Node.js is not installed".to_owned()))?;
    let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let mut numbers = version
        .trim_start_matches('v')
        .split('.')
        .map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < NODE_MIN {
        let (major, minor) = NODE_MIN;
        return Err(Missing::Page(format!(
            "Node.js {major}.{minor} or later is needed, {version} is installed"
        )));
    }
    let npm = Command::new("npm")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match npm {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(Missing::Page("npm is not installed".to_owned())),
    }
}

/// Installs what the lock file names, unless that has been done for this very lock file.
fn install(work: &Path) -> Result<(), Missing> {
    let lock = fs::read(work.join("package-lock.json")).map_err(|error| broken(&error))?;
    let stamp = work.join("node_modules/.magpie-lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    run(work, "npm", &["ci", "--no-audit", "--no-fund"]).map_err(|said| {
        println!("cargo:rerun-if-changed=npm-ci-failed");
        let last = said
            .lines()
            .rev()
            .find(|line| !line.contains("complete log"))
            .unwrap_or_default()
            .to_owned();
        Missing::Page(format!("`npm ci` failed ({})", last.trim()))
    })?;
    fs::write(&stamp, lock).map_err(|error| broken(&error))
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("CI", "1")
        .output();
    let ran = ran.map_err(|error| format!("{program}: {error}"))?;
    if ran.status.success() {
        return Ok(());
    }
    let (out, err) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    Err(format!(
        "{program} {}: {}\n{out}{err}",
        arguments.first().unwrap_or(&""),
        ran.status
    ))
}

/// Makes `to` hold exactly what `from` holds, but for what is installed or built there.
fn copy_source(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for old in fs::read_dir(to)? {
        let old = old?;
        if is_source(&old.file_name()) {
            if old.file_type()?.is_dir() {
                fs::remove_dir_all(old.path())?
            } else {
                fs::remove_file(old.path())?
            }
        }
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if !is_source(&entry.file_name()) {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_source(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Tells cargo which files to watch; folders themselves only as far as nothing is generated into them.
fn watch(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_source(&entry.file_name()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            watch(&entry.path())?;
        } else {
            println!("cargo:rerun-if-changed={}", entry.path().display());
        }
    }
    Ok(())
}

fn is_source(name: &OsStr) -> bool {
    !NOT_SOURCE.iter().any(|other| name == *other)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn broken(error: &io::Error) -> Missing {
    Missing::Broken(error.to_string())
}
