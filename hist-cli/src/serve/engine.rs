//! Runs the metrics of a file: attaches them, takes samples when they are asked for, and puts
//! another file in their place while what both have counts on.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::task::yield_now;

use super::config::{Config, wishes};
use super::error::{AttachError, ServeError};
use super::exposition::{Exposition, Family, Kind, Number, write};
use super::http::Site;
use super::metric::Metric;
use super::metric_config::MetricConfig;
use super::own::{Cost, family, one, unix_seconds};
use super::shape::{Place, Shape};
use crate::kernel::Facts;
use crate::kernel::symbols::Symbols;
use crate::kernel::tracefs::Tracefs;
use crate::load::{self, AttachedTrigger, Barrier, RunStats};
use crate::read;
use crate::session::registry::TriggerEntry;
use crate::session::{Live, Session, SessionError, since_boot};
use crate::snapshot::{Losses, Snapshot};

/// What is known of the kernel is the same for all metrics, and takes time and memory to read.
type Kernel = Live<Rc<Facts>>;

/// Metrics that count.
pub struct Engine {
    tracefs: Tracefs,
    /// The kernel's.
    release: String,
    /// Made before capabilities are given up.
    barrier: Arc<Barrier>,
    /// The names of addresses, for all metrics.
    symbols: Arc<RwLock<Symbols>>,
    metrics: Vec<Running>,
    reload: Reload,
    version: u64,
}

/// How the last file was taken.
#[derive(Clone, Copy)]
struct Reload {
    succeeded: bool,
    /// When one was taken last.
    success: SystemTime,
}

/// The shortest time between two looks at a metric's table, which may be full some moments after it
/// was empty.
const SHORTEST: Duration = Duration::from_millis(250);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(5);
/// After a look there is none for so many times as long as it took.
const SHARE: u32 = 50;
/// Series are ranked at most so often.
const RANKING: Duration = Duration::from_secs(10);

/// How full a metric's table is, and when it is looked at next.
struct Watch {
    due: Instant,
    /// When it was looked at last.
    seen: Instant,
    renewed: Instant,
    /// How many entries there were when it was looked at last.
    entries: usize,
    /// How many hits had found no room by then.
    full: u64,
}

impl Watch {
    fn new(now: Instant) -> Self {
        Self { due: now + SHORTEST, seen: now, renewed: now, entries: 0, full: 0 }
    }

    /// Notes how full the table is. Gives whether it is to be renewed: hits have found no room since
    /// the last look, or three quarters are full, which many entries that are all in use may keep it,
    /// so for that reason not more often than every [`LONGEST`].
    fn look(&mut self, now: Instant, entries: usize, full: u64, capacity: usize) -> bool {
        let mark = capacity - capacity / 4;
        let is_due = full > self.full || entries >= mark && now - self.renewed >= LONGEST;
        let grown = entries.saturating_sub(self.entries) as f64;
        let rate = grown / (now - self.seen).as_secs_f64().max(f64::EPSILON);
        let left = mark.saturating_sub(entries) as f64 / rate / 2.0;
        // Nothing grows: never, so at the latest.
        let left = Duration::try_from_secs_f64(left).unwrap_or(LONGEST);
        (self.seen, self.entries, self.full) = (now, entries, full);
        self.due = now + left.clamp(SHORTEST, LONGEST);
        is_due
    }

    /// Notes that another table is there, with so many entries.
    fn renewed(&mut self, now: Instant, entries: usize) {
        (self.renewed, self.entries, self.due) = (now, entries, now + SHORTEST);
    }

    /// Notes what looking has taken.
    fn took(&mut self, now: Instant, duration: Duration) {
        self.due = self.due.max(now + duration * SHARE);
    }
}

/// A metric that counts.
struct Running {
    metric: Metric,
    session: Session<Kernel>,
    /// It has been told that addresses have no names.
    told_symbols: bool,
    read: Read,
    /// Absent if the table can never be full.
    watch: Option<Watch>,
    /// How often its table was renewed.
    renewals: u64,
    /// When its series were ranked last.
    ranked: Instant,
}

/// How the table was read last.
#[derive(Clone, Copy, Default)]
struct Read {
    /// How often it could not be read.
    errors: u64,
    /// The last time it could.
    succeeded: bool,
    duration: Duration,
    entries: usize,
    losses: Losses,
    run: RunStats,
}

/// Metrics that are attached one by one, and what is wrong with others.
#[derive(Default)]
struct Attaching {
    running: Vec<Running>,
    errors: Vec<AttachError>,
}

impl Attaching {
    /// Goes on after a metric that cannot be attached: all of them are reported.
    fn add(&mut self, metric: Result<Running, ServeError>) -> Result<(), ServeError> {
        match metric {
            Ok(metric) => self.running.push(metric),
            Err(ServeError::Attach(more)) => self.errors.extend(more),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn all(self) -> Result<Vec<Running>, ServeError> {
        match self.errors.is_empty() {
            true => Ok(self.running),
            false => Err(ServeError::Attach(self.errors)),
        }
    }
}

/// What a new file has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Metrics that count on.
    pub kept: usize,
    /// Metrics that begin.
    pub added: usize,
    /// Metrics that have ended.
    pub removed: usize,
}

impl Engine {
    /// Attaches all metrics, then lets them count. Signals are heard between two of them.
    ///
    /// # Errors
    /// If any of them cannot be attached; all that cannot are reported.
    pub async fn start(
        config: Config,
        tracefs: Tracefs,
        facts: &Rc<Facts>,
    ) -> Result<Self, ServeError> {
        let release = facts.release().to_owned();
        let reload = Reload { succeeded: true, success: SystemTime::now() };
        let barrier = Arc::new(Barrier::new()?);
        let (metrics, symbols) = (Vec::new(), Arc::default());
        let mut engine = Self { tracefs, release, barrier, symbols, metrics, reload, version: 0 };
        let mut attached = Attaching::default();
        for metric in &config.metrics {
            attached.add(engine.attach(metric.clone(), facts))?;
            yield_now().await;
        }
        engine.put(config, Vec::new(), attached.all()?)?;
        Ok(engine)
    }

    /// Puts the metrics of another file in the place of those that are there. Those that
    /// [count as](MetricConfig::counts_as) before stay attached and keep their counts.
    ///
    /// # Errors
    /// If any new one cannot be attached. Then all stays as it was.
    pub fn reload(&mut self, config: Config, facts: &Rc<Facts>) -> Result<Changes, ServeError> {
        let result = self.replace(config, facts);
        match &result {
            Ok(_) => self.reload = Reload { succeeded: true, success: SystemTime::now() },
            Err(_) => self.reload_failed(),
        }
        result
    }

    /// Notes that another file was there and could not be taken.
    pub const fn reload_failed(&mut self) {
        self.reload.succeeded = false;
    }

    fn replace(&mut self, config: Config, facts: &Rc<Facts>) -> Result<Changes, ServeError> {
        let is_kept =
            |new: &MetricConfig| self.metrics.iter().any(|old| old.metric.config.counts_as(new));
        let (kept, new): (Vec<_>, Vec<_>) =
            config.metrics.iter().cloned().partition(|metric| is_kept(metric));
        let mut attached = Attaching::default();
        new.into_iter().try_for_each(|metric| attached.add(self.attach(metric, facts)))?;
        self.put(config, kept, attached.all()?)
    }

    /// Lets the `added` metrics count, and keeps of the others those that are to be `kept`.
    fn put(
        &mut self,
        config: Config,
        kept: Vec<MetricConfig>,
        mut added: Vec<Running>,
    ) -> Result<Changes, ServeError> {
        let shapes = self.shapes(&kept)?;
        for running in &mut added {
            let released = running.session.release();
            released.map_err(|source| failed(&running.metric.config, source))?;
        }
        self.version += 1;
        let before = self.metrics.len();
        let mut old = std::mem::take(&mut self.metrics);
        let mut kept: Vec<_> = kept.into_iter().zip(shapes).collect();
        let changes =
            Changes { kept: kept.len(), added: added.len(), removed: before - kept.len() };
        for metric in config.metrics {
            let running = match position(&old, &metric) {
                Some(index) => {
                    let running = old.swap_remove(index);
                    let at = kept.iter().position(|(kept, _)| *kept == metric);
                    let (config, shape) = kept.swap_remove(at.expect("it has been put there"));
                    Running { metric: running.metric.renamed(config, shape), ..running }
                }
                None => added.remove(0),
            };
            self.metrics.push(running);
        }
        Ok(changes)
    }

    /// Attaches a metric, which counts nothing yet.
    fn attach(&self, config: MetricConfig, facts: &Rc<Facts>) -> Result<Running, ServeError> {
        let live = Live::new(self.tracefs.clone(), facts.clone(), wishes());
        let live = live.with_barrier(self.barrier.clone());
        let session = Session::held(live, Box::new(since_boot));
        let mut session = session.sharing(self.symbols.clone());
        session
            .write(&config.event, config.trigger.as_bytes())
            .map_err(|source| failed(&config, source))?;
        let shape = shape(&session, &config)?;
        let metric = Metric::new(config, shape);
        let (read, now) = (Read::default(), Instant::now());
        let trigger = session.attached(entry(&session)).trigger();
        let watch = trigger.is_renewable().then(|| Watch::new(now));
        Ok(Running { metric, session, told_symbols: false, read, watch, renewals: 0, ranked: now })
    }

    fn shapes(&self, kept: &[MetricConfig]) -> Result<Vec<Shape>, ServeError> {
        let running = kept.iter().filter_map(|metric| {
            let index = position(&self.metrics, metric)?;
            Some(shape(&self.metrics[index].session, metric))
        });
        running.collect()
    }

    /// Ends counting, for all metrics as close together as can be. What is exposed from then on has
    /// all that was counted.
    pub fn stop(&self) {
        Session::stop_all(self.metrics.iter().map(|running| &running.session));
    }

    /// Which lost events are not counted, and of which metrics; a line for each reason.
    #[must_use]
    pub fn uncounted(&self) -> Vec<String> {
        let mut metrics: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for running in &self.metrics {
            for uncounted in running.trigger().uncounted(&self.release) {
                metrics.entry(uncounted.to_string()).or_default().push(running.name());
            }
        }
        let line = |(why, names): (String, Vec<&str>)| {
            let s = if names.len() == 1 { "" } else { "s" };
            format!("metric{s} {}: {why}", names.join(", "))
        };
        metrics.into_iter().map(line).collect()
    }

    /// How many metrics there are.
    #[must_use]
    pub fn n_metrics(&self) -> usize {
        self.metrics.len()
    }

    /// Addresses are shown by their names, which not every process may read.
    #[must_use]
    pub fn shows_symbols(&self) -> bool {
        let plans = self.metrics.iter().map(|running| {
            let trigger = running.trigger();
            crate::read::empty(&trigger.plan, false)
        });
        plans.flat_map(|snapshot| snapshot.keys).any(|key| key.show.has_symbols())
    }

    /// When a table is to be [looked at](Self::look) next; `None` if none is.
    #[must_use]
    pub fn next_look(&self) -> Option<Instant> {
        self.metrics.iter().filter_map(|running| Some(running.watch.as_ref()?.due)).min()
    }

    /// Looks how full the table is that is due first, and puts an empty one in its place if need be.
    pub fn look(&mut self) {
        let due = |running: &&mut Running| running.watch.as_ref().map(|watch| watch.due);
        let watched = self.metrics.iter_mut().filter(|running| running.watch.is_some());
        if let Some(running) = watched.min_by_key(due) {
            running.look();
        }
    }

    fn own_families(&self) -> Vec<Family<'_>> {
        let build = vec![(vec![("version", env!("CARGO_PKG_VERSION"))], Number::Unsigned(1))];
        let reloaded = Number::Unsigned(u64::from(self.reload.succeeded));
        let success = Number::Float(unix_seconds(self.reload.success));
        vec![
            family("hist_bpf_build", "The program that exposes this", Kind::Info, build),
            self.losses(),
            self.each("hist_bpf_table_entries", "Entries in the metric's table", |running| {
                Some(Number::Unsigned(running.read.entries as u64))
            }),
            self.each(
                "hist_bpf_table_capacity",
                "Entries that the table has room for",
                |running| {
                    let plan = &running.trigger().plan;
                    Some(Number::Unsigned(u64::from(plan.map.max_entries)))
                },
            ),
            self.each("hist_bpf_series", "Series with labels of their own", |running| {
                Some(Number::Unsigned(running.metric.n_series() as u64))
            }),
            self.each("hist_bpf_other_entries", "Entries summed up as `other`", |running| {
                Some(Number::Unsigned(running.metric.n_others() as u64))
            }),
            self.count(
                "hist_bpf_table_renewals",
                "Times that an empty table took the place of a full one",
                |running| Some(Number::Unsigned(running.renewals)),
            ),
            self.count(
                "hist_bpf_evicted_hits",
                "Hits of series that have lost their place, which are among the others since",
                |running| Some(Number::Unsigned(running.metric.evicted())),
            ),
            self.each(
                "hist_bpf_read_duration_seconds",
                "Time that reading the table took",
                |running| Some(Number::Float(running.read.duration.as_secs_f64())),
            ),
            self.count("hist_bpf_read_errors", "Tables that could not be read", |running| {
                Some(Number::Unsigned(running.read.errors))
            }),
            self.count(
                "hist_bpf_program_run_seconds",
                "Time spent in the metric's eBPF program, while kernel.bpf_stats_enabled is 1",
                |running| running.runs().map(|run| Number::Float(run.time.as_secs_f64())),
            ),
            self.count(
                "hist_bpf_program_runs",
                "Runs of the metric's eBPF program, while kernel.bpf_stats_enabled is 1",
                |running| running.runs().map(|run| Number::Unsigned(run.runs)),
            ),
            one(
                "hist_bpf_config_last_reload_successful",
                "The last file was taken",
                Kind::Gauge,
                reloaded,
            ),
            one(
                "hist_bpf_config_last_reload_success_timestamp_seconds",
                "When a file was taken last",
                Kind::Gauge,
                success,
            ),
        ]
    }

    fn each(
        &self,
        name: &'static str,
        help: &'static str,
        value: impl Fn(&Running) -> Option<Number>,
    ) -> Family<'_> {
        self.all(name, help, Kind::Gauge, value)
    }

    fn count(
        &self,
        name: &'static str,
        help: &'static str,
        value: impl Fn(&Running) -> Option<Number>,
    ) -> Family<'_> {
        self.all(name, help, Kind::Counter, value)
    }

    fn all(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        value: impl Fn(&Running) -> Option<Number>,
    ) -> Family<'_> {
        let points = self
            .metrics
            .iter()
            .filter_map(|running| Some((vec![("metric", running.name())], value(running)?)));
        family(name, help, kind, points.collect())
    }

    /// Where not all missed events are counted, 0 is left out: it would be a claim.
    fn losses(&self) -> Family<'_> {
        let mut points = Vec::new();
        for running in &self.metrics {
            let Losses { full, busy, missed } = running.read.losses;
            let is_told = missed > 0 || running.trigger().uncounted(&self.release).is_empty();
            let missed = is_told.then_some(("missed", missed));
            for (reason, count) in [("full", full), ("busy", busy)].into_iter().chain(missed) {
                let labels = vec![("metric", running.name()), ("reason", reason)];
                points.push((labels, Number::Unsigned(count)));
            }
        }
        let help = "Events that the metric should have counted and did not";
        family("hist_bpf_lost_events", help, Kind::Counter, points)
    }
}

impl Site for Engine {
    /// How often another file was taken.
    fn version(&self) -> u64 {
        self.version
    }

    fn read(&mut self, number: usize) -> bool {
        self.metrics.get_mut(number).map(Running::update).is_some()
    }

    /// What the tables said when they were read last, and what that costs.
    fn text(&self, format: Exposition) -> String {
        let cost = Cost::read();
        let mut families: Vec<Family<'_>> = Vec::new();
        for running in self.metrics.iter().filter(|running| running.read.succeeded) {
            families.extend(running.metric.families());
        }
        families.extend(self.own_families());
        match &cost {
            Ok(cost) => families.extend(cost.families()),
            Err(error) => log::warn!("cannot tell what this process costs: {error}"),
        }
        families.retain(|family| !family.points.is_empty());
        write(&families, format)
    }
}

impl Running {
    fn name(&self) -> &str {
        &self.metric.config.name
    }

    /// What counts. The kernel may refuse the first choice until it is released.
    fn trigger(&self) -> &AttachedTrigger {
        self.session.attached(entry(&self.session)).trigger()
    }

    /// Says once why addresses have no names.
    fn tell_symbols(&mut self) {
        let problem = self.session.symbols().problem().map(ToString::to_string);
        if let Some(problem) = problem.filter(|_| !self.told_symbols) {
            log::warn!("metric {}: {problem}", self.name());
            self.told_symbols = true;
        }
    }

    /// Counted at all.
    fn runs(&self) -> Option<RunStats> {
        Some(self.read.run).filter(|run| run.runs > 0)
    }

    /// Reads the table. What cannot be read keeps its own numbers, and its samples are left out.
    fn update(&mut self) {
        let start = Instant::now();
        let snapshot = self.session.snapshot(entry(&self.session));
        self.read.succeeded = snapshot.is_ok();
        match snapshot {
            Ok(snapshot) => {
                self.take(&snapshot);
                self.tell_symbols();
            }
            Err(error) => self.not_read(&error),
        }
        match self.session.attached(entry(&self.session)).trigger().run_stats() {
            Ok(run) => self.read.run = run,
            Err(error) => log::warn!("metric {}: {error}", self.metric.config.name),
        }
        self.read.duration = start.elapsed();
    }

    fn take(&mut self, snapshot: &Snapshot) {
        self.metric.update(snapshot, &self.session.symbols());
        if self.metric.n_others() > 0 && self.ranked.elapsed() >= RANKING {
            self.rank(snapshot);
            self.metric.update(snapshot, &self.session.symbols());
        }
        self.read.entries = snapshot.rows.len();
        let before = self.read.losses.full;
        let trigger = self.session.attached(entry(&self.session)).trigger();
        let full = match read::rest(trigger) {
            Ok(None) => snapshot.losses.full,
            Ok(Some(rest)) => {
                self.metric.add_rest(&rest);
                // Read later, so it has all of them that were counted, but for those that are lost.
                before.max(snapshot.losses.full.saturating_sub(rest.hits()))
            }
            Err(error) => {
                self.read.succeeded = false;
                self.not_read(&error.into());
                before
            }
        };
        self.read.losses = Losses { full, ..snapshot.losses };
    }

    fn rank(&mut self, snapshot: &Snapshot) {
        let now = Instant::now();
        self.metric.rank(snapshot, &self.session.symbols(), now - self.ranked);
        self.ranked = now;
    }

    fn not_read(&mut self, error: &SessionError) {
        self.read.errors += 1;
        log::warn!("metric {}: {error}", self.name());
    }

    /// Looks how full its table is, and renews it if need be.
    fn look(&mut self) {
        let start = Instant::now();
        let trigger = self.session.attached(entry(&self.session)).trigger();
        let capacity = trigger.plan.map.max_entries as usize;
        let is_due = match (read::fill(trigger), &mut self.watch) {
            (Ok((entries, losses)), Some(watch)) => {
                watch.look(start, entries, losses.full, capacity)
            }
            (Err(error), _) => {
                self.not_read(&error.into());
                false
            }
            (Ok(_), None) => false,
        };
        let renewed = is_due.then(|| self.renew(capacity / 2)).transpose();
        let seeds = renewed.unwrap_or_else(|error| {
            self.not_read(&error);
            None
        });
        let now = Instant::now();
        if let Some(watch) = &mut self.watch {
            seeds.into_iter().for_each(|seeds| watch.renewed(now, seeds));
            watch.took(now, now - start);
        }
    }

    /// Puts an empty table in the place of the full one, in which at most `most` entries that have a
    /// series stay. Gives how many.
    fn renew(&mut self, most: usize) -> Result<usize, SessionError> {
        let snapshot = self.session.snapshot(entry(&self.session))?;
        self.rank(&snapshot);
        let seeds = self.metric.seeds(&snapshot, &self.session.symbols(), most);
        let id = entry(&self.session).id;
        let last = self.session.renew(id, &seeds)?;
        self.metric.renew(&last, &self.session.symbols(), &seeds);
        self.renewals += 1;
        Ok(seeds.len())
    }
}

/// A metric's session has one trigger.
fn entry(session: &Session<Kernel>) -> &TriggerEntry {
    &session.triggers()[0]
}

fn position(metrics: &[Running], wanted: &MetricConfig) -> Option<usize> {
    metrics.iter().position(|running| running.metric.config.counts_as(wanted))
}

fn shape(session: &Session<Kernel>, config: &MetricConfig) -> Result<Shape, ServeError> {
    let hist = &session.attached(entry(session)).trigger().plan.hist;
    Shape::new(hist, config).map_err(|misfits| {
        // The file has been checked, so the event has changed since.
        let first = misfits.into_iter().next();
        let message = first.map_or_else(String::new, |misfit| match misfit.place {
            Place::Label(name) | Place::Value(name) => format!("`{name}`: {}", misfit.message),
            _ => misfit.message,
        });
        failed(config, SessionError::Load(load::LoadError::Internal(message)))
    })
}

fn failed(config: &MetricConfig, source: SessionError) -> ServeError {
    ServeError::Attach(vec![AttachError { name: config.name.clone(), source }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_renewed_when_they_are_full_and_looked_at_before_they_are() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut watch = Watch::new(start);
        assert_eq!(watch.due, at(250));
        assert!(!watch.look(at(250), 0, 0, 1000), "it is empty");
        assert_eq!(watch.due, at(250) + LONGEST, "and stays so");
        // 100 a second: 650 more take 6.5 s, and half of that is soon enough.
        assert!(!watch.look(at(1250), 100, 0, 1000));
        assert_eq!(watch.due, at(1250 + 3250));
        assert!(watch.look(at(4500), 1000, 7, 1000), "hits have found no room");
        watch.renewed(at(4600), 500);
        watch.took(at(4600), Duration::from_millis(100));
        assert_eq!(watch.due, at(4600 + 5000), "it took long");
        assert!(!watch.look(at(9000), 800, 7, 1000), "not again so soon");
        assert!(watch.look(at(9700), 800, 7, 1000), "three quarters are full");
        watch.renewed(at(9700), 500);
        assert!(watch.look(at(9950), 1000, 8, 1000), "hits have found no room again");
    }
}
