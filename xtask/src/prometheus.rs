//! Checks `hist-bpf serve` with Prometheus itself: `promtool` finds nothing wrong with what is exposed,
//! and a server scrapes it and answers queries with what has happened.
//!
//! Both are Debian's, unpacked below `target/prometheus/`; the system is not touched. Needs root, for
//! triggers are attached.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::apt::{Apt, Status, field};
use crate::cargo::{build_for_tests, target_dir};
use crate::command::succeed;

/// The package, and the suite of Debian that it is taken from.
const PACKAGE: &str = "prometheus";
const SUITE: &str = "bookworm";

/// How long anything may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is served: a histogram with its sum, one with labels, and counters with a cap.
const CONFIG: &str = r#"
[[metric]]
name = "read_size_bytes"
help = "Sizes asked of read(2)"
event = "syscalls:sys_enter_read"
trigger = "hist:keys=count.log2:vals=count"
unit = "bytes"

[[metric]]
name = "allocation_bytes"
help = "Sizes asked of the kernel's allocator, by function"
event = "kmem:kmalloc"
trigger = "hist:keys=call_site.sym,bytes_req.log2:vals=bytes_req"
labels = { call_site = "function" }
unit = "bytes"
max = 65536
max_series = 20

[[metric]]
name = "syscalls"
help = "System calls"
event = "raw_syscalls:sys_enter"
trigger = "hist:keys=id.syscall,common_comm:size=8192"
labels = { id = "syscall", common_comm = "task" }
max_series = 10
"#;

/// What Prometheus is asked once it has scraped twice, each of which must be above 0.
const QUERIES: [&str; 8] = [
    r#"up{job="hist-bpf"}"#,
    "read_size_bytes_sum",
    "increase(read_size_bytes_count[1m])",
    r#"read_size_bytes_bucket{le="+Inf"}"#,
    "histogram_quantile(0.5, sum by (le) (rate(read_size_bytes_bucket[1m])))",
    "sum(rate(syscalls_total[1m]))",
    r#"count(allocation_bytes_bucket{le="65536.0"} or allocation_bytes_bucket{le="65536"})"#,
    r#"hist_bpf_build_info{version!=""}"#,
];

/// Queries that must be true of what was scraped, as differences that must be 0.
const EQUALITIES: [&str; 2] = [
    r#"abs(read_size_bytes_count - on() read_size_bytes_bucket{le="+Inf"})"#,
    r#"sum(hist_bpf_read_errors_total)"#,
];

/// Runs it all.
///
/// # Errors
/// If anything is not as it should be.
pub(crate) fn run() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "attaching triggers needs root");
    let tools = tools()?;
    let program = build_for_tests()?.join("hist-bpf");
    let scratch = tempfile::tempdir()?;
    let config = scratch.path().join("serve.toml");
    fs::write(&config, CONFIG)?;
    let server = Server::start(&program, &config)?;
    read_something()?;
    check_expositions(&tools, &server)?;
    let prometheus = Prometheus::start(&tools, &server, scratch.path())?;
    let until = Instant::now() + PATIENCE;
    for query in QUERIES {
        let value = eventually(until, || {
            read_something()?;
            Ok(prometheus.value(query)?.filter(|value| *value > 0.0))
        });
        println!("{query} = {}", value.with_context(|| query.to_owned())?);
    }
    for query in EQUALITIES {
        let value = prometheus.value(query)?.with_context(|| format!("{query}: no answer"))?;
        ensure!(value == 0.0, "{query} is {value}");
    }
    println!("{} queries answered, 0 failed", QUERIES.len() + EQUALITIES.len());
    Ok(())
}

/// The programs.
struct Tools {
    prometheus: PathBuf,
    promtool: PathBuf,
}

fn tools() -> Result<Tools> {
    let cache = target_dir().join("prometheus").join(SUITE);
    if !cache.join("usr").is_dir() {
        download(&cache).with_context(|| format!("getting {PACKAGE} from Debian's {SUITE}"))?;
    }
    let program = |name: &str| {
        let path = cache.join("usr/bin").join(name);
        ensure!(path.is_file(), "{PACKAGE} has no {}", path.display());
        Ok(path)
    };
    Ok(Tools { prometheus: program("prometheus")?, promtool: program("promtool")? })
}

fn download(cache: &Path) -> Result<()> {
    let apt = Apt::open(SUITE, Status::Empty)?;
    let record = apt.show(PACKAGE)?;
    eprintln!("downloading {PACKAGE} {} from Debian's {SUITE}", field(&record, "Version")?);
    fs::create_dir_all(cache)?;
    let scratch = tempfile::tempdir_in(cache)?;
    let tree = apt.unpack(PACKAGE, scratch.path())?;
    // At the end and at once: what is there is whole.
    fs::rename(tree.join("usr"), cache.join("usr"))?;
    Ok(())
}

/// A running `hist-bpf serve`.
struct Server {
    child: Child,
    /// `ADDRESS:PORT`
    address: String,
}

impl Server {
    fn start(program: &Path, config: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(config);
        let mut child = command.stderr(Stdio::piped()).spawn().context("starting hist-bpf")?;
        let mut lines = BufReader::new(child.stderr.take().context("it is piped")?);
        let mut said = String::new();
        while lines.read_line(&mut said)? > 0 {
            let address = said.split_once("http://").and_then(|(_, rest)| rest.split_once('/'));
            if let Some((address, _)) = address {
                let address = address.to_owned();
                return Ok(Self { child, address });
            }
        }
        let status = child.wait()?;
        bail!("hist-bpf serve ended with {status}:\n{said}")
    }

    /// The page of metrics, in the format that is asked for.
    fn metrics(&self, accept: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(stream, "GET /metrics HTTP/1.0\r\nAccept: {accept}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no end of the header")?;
        ensure!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}");
        ensure!(head.contains(accept), "not {accept}:\n{head}");
        Ok(body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself, which something else has told.
    let _ = child.kill();
    let _ = child.wait();
}

/// Happens often enough for every metric.
fn read_something() -> Result<()> {
    for _ in 0..100 {
        let mut buffer = [0; 1000];
        ensure!(File::open("/dev/zero")?.read(&mut buffer)? == buffer.len());
    }
    Ok(())
}

/// `promtool check metrics` takes the older format, in which there is the same.
fn check_expositions(tools: &Tools, server: &Server) -> Result<()> {
    let text = server.metrics("text/plain")?;
    let mut promtool = Command::new(&tools.promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting promtool")?;
    promtool.stdin.take().context("it is piped")?.write_all(text.as_bytes())?;
    let output = promtool.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.trim().is_empty(), "promtool: {said}\n{text}");
    println!("promtool check metrics: nothing in {} lines", text.lines().count());
    let new = server.metrics("application/openmetrics-text")?;
    ensure!(new.ends_with("\n# EOF\n"), "no end of the OpenMetrics:\n{new}");
    Ok(())
}

/// A running Prometheus.
struct Prometheus {
    child: Child,
    promtool: PathBuf,
    url: String,
}

impl Prometheus {
    fn start(tools: &Tools, server: &Server, scratch: &Path) -> Result<Self> {
        let config = scratch.join("prometheus.yml");
        fs::write(&config, scrape_config(&server.address))?;
        succeed(Command::new(&tools.promtool).args(["check", "config"]).arg(&config))?;
        // A port that is free now; nothing else here takes ports by number.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let log = File::create(scratch.join("prometheus.log"))?;
        let data = scratch.join("data");
        let mut command = Command::new(&tools.prometheus);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn().context("starting Prometheus")?;
        let url = format!("http://{address}");
        Ok(Self { child, promtool: tools.promtool.clone(), url })
    }

    /// The first answer to a query; `None` as long as there is no answer.
    fn value(&self, query: &str) -> Result<Option<f64>> {
        let mut promtool = Command::new(&self.promtool);
        let output = promtool.args(["query", "instant", &self.url, query]).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        // It does not listen yet, or listens and is not ready.
        let is_starting = ["refused", "Service Unavailable"].iter().any(|why| errors.contains(why));
        ensure!(output.status.success() || is_starting, "{query}: {errors}");
        Ok(first_value(&said))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn scrape_config(address: &str) -> String {
    format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: hist-bpf\n  \
         static_configs:\n  - targets: ['{address}']\n"
    )
}

/// `name{labels} => VALUE @[TIME]`, a line each.
fn first_value(text: &str) -> Option<f64> {
    let (_, rest) = text.lines().next()?.rsplit_once("=> ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The value, as soon as there is one.
fn eventually<T>(until: Instant, value: impl Fn() -> Result<Option<T>>) -> Result<T> {
    loop {
        if let Some(value) = value()? {
            return Ok(value);
        }
        ensure!(Instant::now() < until, "no answer in time");
        thread::sleep(Duration::from_millis(300));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_a_value_each() {
        let text = "up{job=\"hist-bpf\", x=\"=> 7\"} => 1 @[1700000000.123]\nup{} => 0 @[1]\n";
        assert_eq!(first_value(text), Some(1.0));
        assert_eq!(first_value("{} => NaN @[1]").map(f64::is_nan), Some(true));
        assert_eq!(first_value(""), None);
    }
}
