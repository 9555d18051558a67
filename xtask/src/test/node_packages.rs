//! `npm ci` where what is installed is not what the lock file names. A folder that somebody installed stays as it is.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::step;
use crate::child;

const NPM_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Makes `folder/node_modules` hold what `folder/package-lock.json` names; the error says what is wrong.
pub(crate) fn install(root: &Path, folder: &str) -> Result<(), String> {
    let path = root.join(folder);
    let lock = read(&path.join("package-lock.json"))?;
    if read(&path.join("node_modules/.package-lock.json"))
        .is_ok_and(|installed| holds(&installed, &lock))
    {
        return Ok(());
    }
    step(&format!("npm ci in {folder}"));
    let mut command = Command::new("npm");
    command
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(&path);
    let ended = child::capture(&mut command, NPM_LIMIT, |_| {});
    let ended = ended.map_err(|error| format!("{error:#}"))?;
    if ended.success {
        return Ok(());
    }
    let said = ended
        .output
        .lines()
        .find(|line| line.contains("npm error") || line.contains("npm ERR!"));
    let reason = said.unwrap_or("it took too long");
    Err(format!("`npm ci` in {folder} failed ({reason})"))
}

fn read(path: &Path) -> Result<Value, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Whether what npm wrote down as installed is what the lock file asks for. Optional packages (for other machines)
/// may be missing.
fn holds(installed: &Value, lock: &Value) -> bool {
    let packages = |value: &Value| value.get("packages").and_then(Value::as_object).cloned();
    let (Some(installed), Some(wanted)) = (packages(installed), packages(lock)) else {
        return false;
    };
    let version = |package: &Value| {
        ["version", "integrity"].map(|key| package.get(key).cloned().unwrap_or_default())
    };
    let is_true =
        |package: &Value, key: &str| package.get(key).and_then(Value::as_bool) == Some(true);
    let none_missing = wanted
        .iter()
        .filter(|(path, _)| !path.is_empty())
        .all(|(path, package)| match installed.get(path) {
            Some(found) => version(found) == version(package),
            None => is_true(package, "optional") || is_true(package, "devOptional"),
        });
    none_missing && installed.keys().all(|path| wanted.contains_key(path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lock(packages: &Value) -> Value {
        json!({ "lockfileVersion": 3, "packages": packages })
    }

    #[test]
    fn what_is_installed_is_told_from_what_is_not() {
        let wanted = lock(&json!({
            "": { "name": "web" },
            "node_modules/a": { "version": "1.0.0", "integrity": "x" },
            "node_modules/b": { "version": "2.0.0", "optional": true },
        }));
        let a = |version| json!({ "node_modules/a": { "version": version, "integrity": "x" } });
        assert!(holds(&lock(&a("1.0.0")), &wanted));
        assert!(!holds(&lock(&a("1.0.1")), &wanted), "another version");
        assert!(!holds(&lock(&json!({})), &wanted), "nothing");
        let mut more = a("1.0.0");
        more["node_modules/c"] = json!({ "version": "1.0.0" });
        assert!(!holds(&lock(&more), &wanted), "something else as well");
        assert!(!holds(&json!({}), &wanted), "no such file");
    }
}
