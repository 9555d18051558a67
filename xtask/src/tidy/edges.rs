//! Edges between crates: downwards only, within a layer only where the policy says so, to `dev` crates only for tests.

use super::cargo_manifest::{CargoManifest, Dependency, DependencyKind};
use super::code_map::{Layer, MAP_PATH};
use super::policy::POLICY_PATH;
use super::{Finding, Survey};

pub(crate) fn check(survey: &Survey, findings: &mut Vec<Finding>) {
    for manifest in &survey.manifests {
        if survey.map.layer(&manifest.name).is_none() {
            findings.push(Finding::new(
                &manifest.path,
                1,
                format!("crate `{}` has no layer", manifest.name),
                format!("give it a row in the code map of {MAP_PATH}"),
            ));
        }
        for dependency in &manifest.dependencies {
            check_edge(survey, manifest, dependency, findings);
        }
    }
    for (name, line) in survey.map.rows() {
        if !survey
            .manifests
            .iter()
            .any(|manifest| manifest.name == name)
        {
            findings.push(Finding::new(
                MAP_PATH,
                line,
                format!("the code map has a row for `{name}`, which is not there"),
                "the map must be true to the code",
            ));
        }
    }
    check_exceptions(survey, findings);
}

fn check_edge(
    survey: &Survey,
    manifest: &CargoManifest,
    dependency: &Dependency,
    findings: &mut Vec<Finding>,
) {
    let (Some(from), Some(to)) = (
        survey.map.layer(&manifest.name),
        survey.map.layer(&dependency.name),
    ) else {
        return;
    };
    let edge = format!("`{}` -> `{}`", manifest.name, dependency.name);
    let mut report = |what: String, right: String| {
        findings.push(Finding::new(&manifest.path, dependency.line, what, right));
    };
    if let Some(rule) = survey
        .policy
        .forbidden_edge
        .iter()
        .find(|rule| rule.from == manifest.name && rule.to.contains(&dependency.name))
    {
        // A test may look at both sides of a wall.
        if dependency.kind != DependencyKind::Dev {
            report(format!("forbidden edge {edge}"), rule.reason.clone());
        }
        return;
    }
    let allowed_within_layer = survey
        .policy
        .edge
        .iter()
        .any(|rule| rule.from == manifest.name && rule.to == dependency.name);
    match (from, to) {
        (Layer::Floor(upper), Layer::Floor(lower)) if lower < upper => {}
        (Layer::Floor(upper), Layer::Floor(lower)) if lower == upper => {
            if !allowed_within_layer {
                report(
                    format!("edge {edge} within layer L{upper}"),
                    format!(
                        "move what both need to a lower layer, or join them in a higher one ({MAP_PATH})"
                    ),
                );
            }
        }
        (Layer::Floor(lower), Layer::Floor(upper)) => report(
            format!("upward edge {edge} (L{lower} -> L{upper})"),
            "arrows point downwards only: pass what is needed in as an input".to_owned(),
        ),
        (Layer::Floor(_), Layer::Dev) if dependency.kind == DependencyKind::Dev => {}
        (Layer::Floor(_), Layer::Dev) => report(
            format!("edge {edge} to a crate for tests"),
            "name it under [dev-dependencies] or not at all".to_owned(),
        ),
        (Layer::Dev, Layer::Dev) if !allowed_within_layer => report(
            format!("edge {edge} between crates for tests"),
            "each stands alone, so that either builds when the other does not".to_owned(),
        ),
        (Layer::Dev, Layer::Floor(_) | Layer::Dev) => {}
    }
}

/// An exception that nothing needs any more is a finding: the policy must not promise what is not there.
fn check_exceptions(survey: &Survey, findings: &mut Vec<Finding>) {
    for rule in &survey.policy.edge {
        let exists = survey.manifests.iter().any(|manifest| {
            manifest.name == rule.from
                && manifest
                    .dependencies
                    .iter()
                    .any(|dependency| dependency.name == rule.to)
        });
        if !exists || rule.reason.is_empty() {
            findings.push(Finding::new(
                POLICY_PATH,
                1,
                format!(
                    "the allowed edge `{}` -> `{}` is not used or has no reason",
                    rule.from, rule.to
                ),
                "take it out of the policy, or say why",
            ));
        }
    }
}
