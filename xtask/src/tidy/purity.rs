//! The pure crates: what they may depend on and name, and the `clippy.toml` that says so in the editor.
//! Clippy sees through aliases where this does not; this sees dependencies, and modules as a whole.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::cargo_manifest::{CargoManifest, DependencyKind};
use super::policy::{POLICY_PATH, Pure};
use super::{Finding, Survey, paths, tokens};

pub(crate) fn check(survey: &Survey, root: &Path, findings: &mut Vec<Finding>) {
    let pure = &survey.policy.pure;
    for manifest in &survey.manifests {
        if pure.crates.contains(&manifest.name) {
            check_dependencies(survey, manifest, findings);
            check_lints(pure, root, manifest, findings);
        }
    }
    check_default_features(survey, findings);
    check_sources(survey, findings);
    for name in &pure.crates {
        if !survey
            .manifests
            .iter()
            .any(|manifest| manifest.name == *name)
        {
            findings.push(Finding::new(
                POLICY_PATH,
                1,
                format!("the pure crate `{name}` is not there"),
                "name the crates that are",
            ));
        }
    }
}

fn check_dependencies(survey: &Survey, manifest: &CargoManifest, findings: &mut Vec<Finding>) {
    let pure = &survey.policy.pure;
    for dependency in &manifest.dependencies {
        let ours = pure.crates.contains(&dependency.name);
        // An edge to a crate of ours that is not pure points upwards and is told as such.
        let told_elsewhere = survey.map.layer(&dependency.name).is_some();
        let known = pure.dependencies.contains(&dependency.name);
        if dependency.kind != DependencyKind::Dev && !ours && !told_elsewhere && !known {
            findings.push(Finding::new(
                &manifest.path,
                dependency.line,
                format!("pure crate `{}` depends on `{}`", manifest.name, dependency.name),
                format!("pass time, randomness and IO in as inputs; if it does none of these, list it in {POLICY_PATH}"),
            ));
        }
    }
}

/// What a shared dependency brings is decided in the workspace's manifest, or where a crate overrules it.
fn check_default_features(survey: &Survey, findings: &mut Vec<Finding>) {
    let pure = &survey.policy.pure;
    let with_shared = survey.manifests.iter().chain([&survey.workspace]);
    for manifest in with_shared {
        for dependency in &manifest.dependencies {
            let limited = pure.without_default_features.contains(&dependency.name);
            let shared = dependency.kind == DependencyKind::Workspace;
            let switched_on = match dependency.default_features {
                Some(on) => on,
                // Not said: on in the workspace's table, and as the workspace has it elsewhere.
                None => shared,
            };
            if limited && switched_on {
                findings.push(Finding::new(
                    &manifest.path,
                    dependency.line,
                    format!("`{}` with its default features", dependency.name),
                    "`default-features = false`: with them it seeds its hashes at random, and features are joined over the whole workspace",
                ));
            }
        }
    }
}

fn check_sources(survey: &Survey, findings: &mut Vec<Finding>) {
    let pure = &survey.policy.pure;
    for file in &survey.rust {
        let Some(name) = pure
            .crates
            .iter()
            .find(|name| file.path.starts_with(&format!("crates/{name}/src/")))
        else {
            continue;
        };
        let is_test = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
        if is_test {
            continue;
        }
        let (tokens, _) = tokens::without_tests(&tokens::tokens(&file.text));
        for path in paths::named(&tokens) {
            let full = path.segments.join("::");
            let forbidden = pure.paths.iter().find(|forbidden| {
                full.strip_prefix(forbidden.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            });
            if let Some(forbidden) = forbidden {
                findings.push(Finding::new(
                    &file.path,
                    path.line,
                    format!("pure crate `{name}` names `{forbidden}`"),
                    "time, randomness and IO come in as inputs; maps are ordered, or hashed with fixed seeds and never iterated",
                ));
            }
        }
    }
}

fn check_lints(pure: &Pure, root: &Path, manifest: &CargoManifest, findings: &mut Vec<Finding>) {
    let path = format!("{}/clippy.toml", manifest.folder());
    let text = fs::read_to_string(root.join(&path)).unwrap_or_default();
    let Ok(lints) = text.parse::<Table>() else {
        findings.push(Finding::new(&path, 1, "is no TOML", "mend it"));
        return;
    };
    for (key, wanted) in [
        ("disallowed-methods", &pure.clippy_methods),
        ("disallowed-types", &pure.clippy_types),
    ] {
        let listed = lints.get(key).and_then(Value::as_array);
        let listed: Vec<&str> = listed
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.as_str().or_else(|| entry.get("path")?.as_str()))
            .collect();
        let missing: Vec<&str> = wanted
            .iter()
            .map(String::as_str)
            .filter(|path| !listed.contains(path))
            .collect();
        if !missing.is_empty() {
            findings.push(Finding::new(
                &path,
                1,
                format!("{key} lacks {}", missing.join(", ")),
                format!("copy a neighbour's clippy.toml; the list stands in {POLICY_PATH}"),
            ));
        }
    }
}
