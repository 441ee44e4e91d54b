//! Serves the pages of a site over HTTP/1.1 on a listening socket.
//!
//! Nobody can keep others waiting: between two answers of one connection all others have their
//! turn, who asks at the same time gets the same page, and when there are too many connections, or
//! no more files to be had, the one goes that waits for no answer and has done nothing for longest.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{Mutex, watch};
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time;

use super::exposition::Exposition;
use super::negotiate::negotiate;

/// Connections that are open at the same time, at most. Of those that wait for no answer, the one that
/// has done nothing for longest makes room for another one, so that those who connect and ask nothing,
/// or take no answer, keep nobody out and end nobody's request.
const CONNECTIONS: usize = 64;
/// Files that are left free for other things than connections, as far as there are that many:
/// making a page opens some.
const FILES: usize = 16;
/// For how long a connection may be without a whole request. Prometheus keeps its own open, and asks
/// every minute or so.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long an answer may lie around until who does not take it makes room for others.
const READING: Duration = Duration::from_secs(1);
/// How long an answer may lie around that its reader does not take, in milliseconds.
const STALL: u32 = 30_000;
/// How long answers that are under way get when all ends. Within a second all shall be over.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long to wait when no connection can be accepted and none is there that could go.
const PAUSE: Duration = Duration::from_millis(100);
/// The most that is read ahead, and that a request's head may have (bytes).
const REQUEST_SIZE: usize = 16 * 1024;

/// What is served.
pub trait Site {
    /// Changes when metrics get other numbers.
    fn version(&self) -> u64;

    /// Reads the metric of that number; `false` if there is none.
    fn read(&mut self, number: usize) -> bool;

    /// The metrics, as they were read last.
    fn text(&self, format: Exposition) -> String;
}

/// Has no metrics, for tests.
impl Site for () {
    fn version(&self) -> u64 {
        0
    }

    fn read(&mut self, _: usize) -> bool {
        false
    }

    fn text(&self, _: Exposition) -> String {
        "# EOF\n".to_owned()
    }
}

/// Answers until `stop` is over, then lets answers that are under way be finished, unless it is over
/// once more. Runs within a [`LocalSet`](tokio::task::LocalSet).
pub async fn serve<S: Site + 'static>(
    listener: TcpListener,
    site: Rc<RefCell<S>>,
    mut stop: impl AsyncFnMut(),
) {
    let (farewell, ends) = watch::channel(());
    let pages = Rc::new(Pages::new(site));
    let mut guests = Guests::new();
    {
        let end = stop();
        tokio::pin!(end);
        loop {
            tokio::select! {
                biased;
                () = &mut end => break,
                Some(_) = guests.tasks.join_next() => {}
                stream = listener.accept() => match stream {
                    Ok((stream, _)) => guests.admit(stream, &pages, &ends),
                    Err(error) => guests.turn_away(&error).await,
                },
            }
            // Serve a new connection before the next one is accepted.
            yield_now().await;
        }
    }
    drop(listener);
    drop(farewell);
    let all = async { while guests.tasks.join_next().await.is_some() {} };
    tokio::select! {
        biased;
        () = stop() => {}
        // Whoever does not read in time has had the chance.
        _ = time::timeout(FAREWELL, all) => {}
    }
}

/// The connections that there are.
struct Guests {
    tasks: JoinSet<()>,
    open: Vec<Guest>,
    most: usize,
    /// It was reported that there is no room, since a connection was admitted last.
    told: bool,
}

struct Guest {
    task: AbortHandle,
    active: Active,
}

impl Guests {
    fn new() -> Self {
        Self { tasks: JoinSet::new(), open: Vec::new(), most: most_connections(), told: false }
    }

    fn admit<S: Site + 'static>(
        &mut self,
        stream: TcpStream,
        pages: &Rc<Pages<S>>,
        ends: &watch::Receiver<()>,
    ) {
        self.open.retain(|guest| !guest.task.is_finished());
        if self.open.len() >= self.most {
            self.evict();
        }
        let active = Active::new();
        let connection = connection(stream, pages.clone(), active.clone(), ends.clone());
        self.open.push(Guest { task: self.tasks.spawn_local(connection), active });
        self.told = false;
    }

    /// Makes room for somebody who could not be let in, or waits if nobody is there who could go.
    async fn turn_away(&mut self, error: &io::Error) {
        if !self.told {
            log::warn!("cannot accept a connection: {error}");
            self.told = true;
        }
        self.open.retain(|guest| !guest.task.is_finished());
        let is_room_made = lacks_room(error) && self.evict();
        if !is_room_made && error.kind() != io::ErrorKind::ConnectionAborted {
            time::sleep(PAUSE).await;
        }
    }

    /// Ends the connection that has done nothing for longest, if there is any: one that waits for an
    /// answer only if all do.
    fn evict(&mut self) -> bool {
        let (open, now) = (self.open.iter().enumerate(), Instant::now());
        let idle = open.min_by_key(|(_, guest)| guest.active.rank(now)).map(|(number, _)| number);
        idle.map(|number| self.open.swap_remove(number).task.abort()).is_some()
    }
}

/// It takes files or memory that others have.
fn lacks_room(error: &io::Error) -> bool {
    let room = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|errno| room.contains(&errno))
}

/// As many as there may be, and as there are files for.
fn most_connections() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    limit.saturating_sub(open + FILES).clamp(1, CONNECTIONS)
}

/// What a connection does, and since when: it has asked for something, or taken some of an answer,
/// last. Bytes that are no whole request yet do not count.
#[derive(Clone)]
struct Active(Rc<Cell<(State, Instant)>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is no whole request.
    Idle,
    /// The answer to its request is being made.
    Waiting,
    /// The answer is being written.
    Taking,
}

impl Active {
    fn new() -> Self {
        Self(Rc::new(Cell::new((State::Idle, Instant::now()))))
    }

    fn becomes(&self, state: State) {
        self.0.set((state, Instant::now()));
    }

    /// Some of an answer has been written.
    fn touch(&self) {
        self.becomes(self.0.get().0);
    }

    /// All that was to be written has been.
    fn flushed(&self) {
        if self.0.get().0 == State::Taking {
            self.becomes(State::Idle);
        }
    }

    /// The lowest of all goes first: whether it waits for an answer, and when it did something last.
    /// One that takes nothing of its answer for a while does not wait for it.
    fn rank(&self, now: Instant) -> (bool, Instant) {
        let (state, last) = self.0.get();
        let waits = match state {
            State::Idle => false,
            State::Waiting => true,
            State::Taking => now.saturating_duration_since(last) < READING,
        };
        (waits, last)
    }
}

/// A stream that notes when something was written.
struct Noted<T> {
    stream: T,
    active: Active,
}

impl<T: AsyncRead + Unpin> AsyncRead for Noted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.active.touch();
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if written.is_ready() {
            self.active.touch();
        }
        written
    }

    /// Without this, hyper copies each page into a buffer of the connection's own.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.active.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Makes pages. All that have asked before one is begun get the same.
struct Pages<S> {
    site: Rc<RefCell<S>>,
    /// Counts requests and pages.
    clock: Cell<u64>,
    /// Whose turn it is to make one.
    turn: Mutex<()>,
    /// How many wait for one.
    waiting: Cell<usize>,
    /// The page that was made last of each format, and when it was begun, as long as anybody waits.
    made: RefCell<Vec<(Exposition, u64, Bytes)>>,
}

/// One that waits for a page.
struct Waiting<'a, S>(&'a Pages<S>);

impl<S> Drop for Waiting<'_, S> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
        if self.0.waiting.get() == 0 {
            self.0.made.borrow_mut().clear();
        }
    }
}

impl<S: Site> Pages<S> {
    fn new(site: Rc<RefCell<S>>) -> Self {
        let (clock, turn, waiting) = (Cell::new(0), Mutex::new(()), Cell::new(0));
        Self { site, clock, turn, waiting, made: RefCell::default() }
    }

    fn tick(&self) -> u64 {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }

    /// The metrics as they are at some time between the call and its answer.
    async fn metrics(&self, format: Exposition) -> Bytes {
        let asked = self.tick();
        self.waiting.set(self.waiting.get() + 1);
        let _waiting = Waiting(self);
        // All others that have something to ask do so meanwhile.
        yield_now().await;
        let _turn = self.turn.lock().await;
        let made = self.made.borrow().iter().find(|made| made.0 == format).cloned();
        if let Some((.., page)) = made.filter(|(_, began, _)| *began > asked) {
            return page;
        }
        let began = self.tick();
        self.read().await;
        let page = Bytes::from(self.site.borrow().text(format));
        self.made.borrow_mut().retain(|made| made.0 != format);
        self.made.borrow_mut().push((format, began, page.clone()));
        page
    }

    /// Reads all metrics. Between two of them others have their turn, signals too.
    async fn read(&self) {
        let version = || self.site.borrow().version();
        let (mut known, mut number) = (version(), 0);
        while self.site.borrow_mut().read(number) {
            yield_now().await;
            number = if version() == known { number + 1 } else { 0 };
            known = version();
        }
    }
}

async fn connection<S: Site + 'static>(
    stream: TcpStream,
    pages: Rc<Pages<S>>,
    active: Active,
    ends: watch::Receiver<()>,
) {
    // Also when the other side says that it has no room (tcp(7)), which may go on for ever.
    if let Err(error) = set_tcp_user_timeout(&stream, STALL) {
        log::debug!("a connection may stall: {error}");
    }
    converse(stream, pages, active, ends).await;
}

/// Answers all requests that come, until the other side or all ends.
async fn converse<S: Site + 'static, T: AsyncRead + AsyncWrite + Unpin>(
    stream: T,
    pages: Rc<Pages<S>>,
    active: Active,
    mut ends: watch::Receiver<()>,
) {
    let stream = TokioIo::new(Noted { stream, active: active.clone() });
    let service = service_fn(move |request: Request<Incoming>| {
        active.becomes(State::Waiting);
        let (pages, active) = (pages.clone(), active.clone());
        async move {
            let answer = answer(&request, &pages).await;
            active.becomes(State::Taking);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(REQUEST_SIZE);
    // A client that has sent everything may still want the answer.
    let connection = builder.half_close(true).serve_connection(stream, service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        // Its other end is gone.
        _ = ends.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        log::debug!("a connection ended early: {error}");
    }
}

/// What a client is sent that sends `request` and nothing more. Without a socket, for tests.
///
/// # Errors
/// If the process has no files to wait with.
pub fn reply<S: Site + 'static>(request: &[u8], site: S) -> io::Result<Vec<u8>> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let answer = Rc::new(RefCell::new(Vec::new()));
    let stream = Recorded { rest: request.to_vec().into(), answer: answer.clone() };
    let pages = Rc::new(Pages::new(Rc::new(RefCell::new(site))));
    let (_farewell, ends) = watch::channel(());
    runtime.block_on(converse(stream, pages, Active::new(), ends));
    Ok(answer.take())
}

/// A client that has said all that it will say.
struct Recorded {
    rest: VecDeque<u8>,
    answer: Rc<RefCell<Vec<u8>>>,
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = buffer.remaining().min(self.rest.len());
        buffer.put_slice(&self.rest.drain(..length).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answer.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a browser gets.
const INDEX: &str = "hist-bpf serve\n\n/metrics  what is counted\n/healthz  whether it answers\n";
const PLAIN: &str = "text/plain; charset=utf-8";

async fn answer<S: Site>(request: &Request<Incoming>, pages: &Pages<S>) -> Response<Full<Bytes>> {
    let method = request.method();
    if method != Method::GET && method != Method::HEAD {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET or HEAD\n".into());
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let format = negotiate(&accept(request.headers()));
            page(StatusCode::OK, format.content_type(), pages.metrics(format).await)
        }
        path => {
            // A client with many small requests waits for others, too.
            yield_now().await;
            match path {
                "/healthz" => page(StatusCode::OK, PLAIN, "ok\n".into()),
                "/" => page(StatusCode::OK, PLAIN, INDEX.into()),
                _ => page(StatusCode::NOT_FOUND, PLAIN, "no such page; /metrics is one\n".into()),
            }
        }
    }
}

/// All `Accept` headers, which mean the same as one.
fn accept(headers: &HeaderMap) -> String {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

fn page(status: StatusCode, content_type: &'static str, text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status;
    let value = hyper::header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use tokio::task::LocalSet;

    use super::*;

    /// How long an answer may take.
    const LONG: Duration = Duration::from_secs(60);

    /// Has metrics to read for as long as wanted.
    struct Slow {
        begun: Arc<AtomicBool>,
        over: Arc<AtomicBool>,
    }

    impl Site for Slow {
        fn version(&self) -> u64 {
            0
        }

        fn read(&mut self, _: usize) -> bool {
            self.begun.store(true, Ordering::Relaxed);
            !self.over.load(Ordering::Relaxed)
        }

        fn text(&self, _: Exposition) -> String {
            "the page".to_owned()
        }
    }

    /// One that has asked for a page.
    fn ask(address: net::SocketAddr, page: &str) -> net::TcpStream {
        let mut stream = net::TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("a time");
        write!(stream, "GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("sent");
        stream
    }

    fn answer_to(mut stream: net::TcpStream) -> String {
        let mut answer = String::new();
        // Whoever is sent away may see an error, too.
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    /// It had done nothing for longer than 64 others that had just come, so it was sent away.
    #[test]
    fn a_flood_of_connections_ended_a_scrape_that_waited_for_its_page() {
        let listener = net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("a port");
        listener.set_nonblocking(true).expect("a mode");
        let (begun, over) = (Arc::default(), Arc::default());
        let site = Slow { begun: Arc::clone(&begun), over: Arc::clone(&over) };
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        let client = thread::spawn(move || {
            let scrape = ask(address, "/metrics");
            let start = Instant::now();
            while !begun.load(Ordering::Relaxed) && start.elapsed() < LONG {
                thread::yield_now();
            }
            let flood = || net::TcpStream::connect(address).expect("it listens");
            let flood: Vec<_> = (0..3 * CONNECTIONS).map(|_| flood()).collect();
            // It is let in after all of them.
            let last = answer_to(ask(address, "/healthz"));
            over.store(true, Ordering::Relaxed);
            let answers = (answer_to(scrape), last);
            drop((flood, ended));
            answers
        });
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut end = Some(end);
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let stop = async || match end.take() {
                Some(end) => drop(end.await),
                None => std::future::pending().await,
            };
            serve(listener, Rc::new(RefCell::new(site)), stop).await;
        });
        let (scrape, last) = client.join().expect("it only asks");
        assert!(last.ends_with("ok\n"), "{last:?}");
        assert!(scrape.ends_with("the page"), "{scrape:?}");
    }

    /// Takes several slices at a time, and keeps each by itself.
    struct Slices {
        client: Recorded,
        written: Rc<RefCell<Vec<Vec<u8>>>>,
    }

    impl AsyncRead for Slices {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.client).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Slices {
        fn poll_write(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(context, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.written.borrow_mut().extend(slices.iter().map(|slice| slice.to_vec()));
            Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// The page, which all who ask share, was copied behind the head of each answer.
    #[test]
    fn every_connection_copied_the_page() {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let written = Rc::new(RefCell::new(Vec::new()));
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
        let client = Recorded { rest: request.into(), answer: Rc::default() };
        let stream = Slices { client, written: written.clone() };
        let pages = Rc::new(Pages::new(Rc::new(RefCell::new(()))));
        let (_farewell, ends) = watch::channel(());
        runtime.block_on(converse(stream, pages, Active::new(), ends));
        let written = written.take();
        assert_eq!(written.last().map(Vec::as_slice), Some(&b"# EOF\n"[..]), "{written:?}");
    }

    #[test]
    fn those_who_wait_for_no_answer_go_first_and_the_idlest_of_them() {
        let now = Instant::now();
        let rank = |state, age| Active(Rc::new(Cell::new((state, now - age)))).rank(now);
        let (short, long) = (Duration::from_millis(10), Duration::from_secs(2));
        let ranks = [
            rank(State::Taking, 2 * long),
            rank(State::Idle, long),
            rank(State::Idle, short),
            rank(State::Waiting, 2 * long),
            rank(State::Taking, short),
        ];
        assert!(ranks.is_sorted(), "{ranks:?}");
    }
}
