//! Checks that the files in `contrib/` are right for the programs that read them and fit together, and
//! that the documents of the source tree agree with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use hist_cli::kernel::Facts;
use hist_cli::kernel::tracefs::Tracefs;
use hist_cli::plan::Wishes;
use hist_cli::serve::{Config, config};
use hist_cli::session::Live;
use hist_test_support::needs;
use hist_tests::live::tracefs;
use saphyr::{LoadableYamlNode as _, Yaml};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn contrib(name: &str) -> Result<String> {
    fs::read_to_string(root().join("contrib").join(name)).with_context(|| name.to_owned())
}

/// What a file of metrics says; with this machine's kernel as root.
fn checked(text: &str) -> Result<Config> {
    let live = |tracefs: &Tracefs| -> Result<Live> {
        Ok(Live::new(tracefs.clone(), Facts::read()?, Wishes::default()))
    };
    let kernel = tracefs().map(live).transpose()?;
    let config = config::read(text, kernel.as_ref());
    config.map_err(|problems| anyhow::anyhow!("{}", problems.render("serve.toml", text)))
}

#[test]
fn the_example_is_right() -> Result<()> {
    let config = checked(&contrib("serve.toml")?)?;
    assert!(config.metrics.len() >= 4, "{config:?}");
    Ok(())
}

/// The names of the metrics in a query: those in front of a brace.
fn names(query: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let heads = query.match_indices('{').map(|(at, _)| &query[..at]);
    heads.map(|head| head.rsplit(|c| !is_name(c)).next().unwrap_or("")).collect()
}

/// Every string behind `key`, wherever it stands.
fn strings<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| strings(value, key, found)),
        Value::Object(map) => {
            found.extend(map.get(key).and_then(Value::as_str));
            map.values().for_each(|value| strings(value, key, found));
        }
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&contrib("grafana-dashboard.json")?)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let ids: BTreeSet<_> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    ensure!(ids.len() == panels.len() && panels.len() >= 8, "{} panels", panels.len());
    let config = checked(&contrib("serve.toml")?)?;
    let own = fs::read_to_string(root().join("docs/serve.md"))?;
    let mut families = BTreeSet::new();
    for metric in &config.metrics {
        families.extend(std::iter::once(&metric.name).chain(metric.values.values()).cloned());
    }
    let is_known = |name: &str| {
        let plain =
            ["_total", "_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
        families.contains(plain.unwrap_or(name)) || own.contains(&format!("`{name}`"))
    };
    let mut queries = Vec::new();
    strings(&dashboard, "expr", &mut queries);
    assert!(queries.len() >= panels.len());
    for name in queries.iter().flat_map(|query| names(query)) {
        assert!(is_known(name), "no metric is called {name}");
    }
    Ok(())
}

/// The settings of a section, in their order.
fn section<'a>(unit: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let lines = unit.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect()
}

#[test]
fn the_unit_is_one() -> Result<()> {
    let unit = contrib("hist-bpf.service")?;
    let service = section(&unit, "Service");
    let value = |key| service.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    assert_eq!(value("Type"), Some("notify"));
    assert_eq!(value("CapabilityBoundingSet"), value("AmbientCapabilities"));
    for capability in ["CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG"] {
        let set = value("CapabilityBoundingSet").unwrap_or_default();
        assert!(set.split(' ').any(|one| one == capability), "{capability}");
    }
    assert!(value("ExecStart").is_some_and(|line| line.contains(" serve --config ")));
    for line in unit.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])) {
        assert!(line.contains('='), "{line}");
    }
    verify(&unit)
}

/// Lets systemd judge where it is installed. The binary need not be.
fn verify(unit: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("hist-bpf.service");
    fs::write(&path, unit.replace("/usr/bin/hist-bpf", "/bin/true"))?;
    if !needs::program("systemd-analyze") {
        return Ok(());
    }
    let output = Command::new("systemd-analyze").arg("verify").arg(&path).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let ours = said.lines().filter(|line| line.contains("hist-bpf.service"));
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new());
    Ok(())
}

#[test]
fn the_manifest_is_one() -> Result<()> {
    let text = contrib("daemonset.yaml")?;
    let documents = Yaml::load_from_str(&text)?;
    let kind = |name: &str| {
        let found = documents.iter().find(|document| document["kind"].as_str() == Some(name));
        found.with_context(|| format!("no {name}"))
    };
    assert_eq!(documents.len(), 3);
    let config = kind("ConfigMap")?["data"]["serve.toml"].as_str().context("no file")?;
    checked(config)?;
    let spec = &kind("DaemonSet")?["spec"];
    let template = &spec["template"];
    let label = "app.kubernetes.io/name";
    let labels = [&spec["selector"]["matchLabels"][label], &template["metadata"]["labels"][label]];
    assert_eq!(labels.map(Yaml::as_str), [Some("hist-bpf"); 2]);
    let container = &template["spec"]["containers"][0];
    let port = container["ports"][0]["containerPort"].as_integer().context("no port")?.to_string();
    let args = container["args"].as_vec().context("no arguments")?;
    assert!(args.iter().any(|arg| arg.as_str() == Some(&format!("0.0.0.0:{port}"))), "{args:?}");
    let annotation = &template["metadata"]["annotations"]["prometheus.io/port"];
    assert_eq!(annotation.as_str(), Some(port.as_str()));
    let mounts = container["volumeMounts"].as_vec().context("no mounts")?;
    let volumes = template["spec"]["volumes"].as_vec().context("no volumes")?;
    let names = |list: &[Yaml<'_>]| -> BTreeSet<String> {
        list.iter().filter_map(|one| Some(one["name"].as_str()?.to_owned())).collect()
    };
    assert_eq!(names(mounts), names(volumes));
    Ok(())
}

/// The files below `folder` with that ending, by their paths from the root.
fn files(folder: &str, ending: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).with_context(|| folder.to_owned())? {
        let path = format!("{folder}/{}", entry?.file_name().display());
        if root().join(&path).is_dir() {
            found.extend(files(&path, ending)?);
        } else if path.ends_with(ending) {
            found.push(path);
        }
    }
    Ok(found)
}

#[test]
fn every_module_says_first_what_it_is_for() -> Result<()> {
    let folders = [
        "hist-cli/src",
        "hist-cli/tests",
        "hist-cli/examples",
        "hist-common/src",
        "hist-ebpf/src",
        "tests/src",
        "tests/tests",
        "tests/support",
        "tests/measure",
        "tests/fuzz/fuzz_targets",
        "xtask/src",
    ];
    let mut modules = Vec::new();
    for folder in folders {
        modules.extend(files(folder, ".rs")?);
    }
    assert!(modules.len() > 350, "{} modules", modules.len());
    for module in modules {
        let text = fs::read_to_string(root().join(&module))?;
        let says = text.starts_with("//! ") && !text.starts_with("//! Takes ");
        assert!(says, "{module} begins with {:?}", text.lines().next());
    }
    Ok(())
}

/// Everything that a document says of files: what its links lead to, and code with a slash and a
/// known ending.
fn named_files(text: &str) -> Vec<&str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let links = links.filter(|link| !link.contains("://"));
    let endings = [".rs", ".md", ".toml", ".txt", ".json", ".hist", ".yaml", ".service"];
    let code = text.split('`').skip(1).step_by(2).filter(|code| {
        let is_file = code.contains('/') && endings.iter().any(|ending| code.ends_with(ending));
        is_file && !code.contains([' ', '*', '<', '…']) && !code.contains("NAME")
    });
    links.chain(code).collect()
}

/// As GitHub makes the anchor of a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

/// Files were moved, and documents still named them.
#[test]
fn documents_name_what_is_there() -> Result<()> {
    let mut documents = files("docs", ".md")?;
    documents.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(Into::into),
    );
    let mut found = 0;
    for document in documents {
        let text = fs::read_to_string(root().join(&document))?;
        let own = Path::new(&document).parent().context("a folder")?;
        for name in named_files(&text) {
            let (path, heading) = name.split_once('#').unwrap_or((name, ""));
            let path = if path.is_empty() {
                Path::new(&document).file_name()
            } else {
                Some(path.as_ref())
            };
            let path = path.context("a name")?;
            let folders = [own, Path::new(""), Path::new("hist-cli/src")];
            let file = folders.iter().map(|folder| root().join(folder).join(path));
            let file = file.into_iter().find(|file| file.exists());
            let file =
                file.with_context(|| format!("{document} names {name}, which is not there"))?;
            if !heading.is_empty() {
                let text = fs::read_to_string(file)?;
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                ensure!(headings.any(|line| anchor(line) == heading), "{document}: no {name}");
            }
            found += 1;
        }
    }
    assert!(found > 80, "{found} files");
    Ok(())
}

#[test]
fn the_architecture_has_the_modules_in_their_order() -> Result<()> {
    let library = fs::read_to_string(root().join("hist-cli/src/lib.rs"))?;
    let modules =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let text = fs::read_to_string(root().join("ARCHITECTURE.md"))?;
    let (_, layers) = text.split_once("\n## hist-cli/src").context("no section")?;
    let (layers, _) = layers.split_once("\n## ").context("no end")?;
    let rows = layers.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows = rows.map(|name| name.trim_end_matches('/'));
    assert_eq!(rows.collect::<Vec<_>>(), modules.collect::<Vec<_>>());
    Ok(())
}
