//! Takes a socket that listens, and a site. Gives its pages to whoever asks, over HTTP/1.1.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time;

use super::exposition::Exposition;
use super::negotiate::negotiate;

/// Connections that are open at the same time, at most. The oldest makes room for another one, so
/// that those who connect and ask nothing, or take no answer, keep nobody out.
const CONNECTIONS: usize = 64;
/// For how long a connection may be without a whole request. Prometheus keeps its own open, and asks
/// every minute or so.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long an answer may lie around that its reader does not take, in milliseconds.
const STALL: u32 = 30_000;
/// How long answers that are under way get when all ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long to wait when no connection can be accepted, most likely because there are too many
/// open files.
const PAUSE: Duration = Duration::from_millis(100);

/// What is served.
pub trait Site {
    /// The metrics, as they are now.
    fn metrics(&mut self, format: Exposition) -> String;
}

/// Answers until `end` is over, then lets answers that are under way be finished. Runs within a
/// [`LocalSet`](tokio::task::LocalSet).
///
/// # Errors
/// None at present: what fails is a connection, and others go on.
pub async fn serve<S: Site + 'static>(
    listener: TcpListener,
    site: Rc<RefCell<S>>,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let (farewell, ends) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut open = VecDeque::new();
    tokio::pin!(end);
    loop {
        tokio::select! {
            biased;
            () = &mut end => break,
            Some(_) = connections.join_next() => {}
            stream = listener.accept() => match stream {
                Ok((stream, _)) => {
                    make_room(&mut open);
                    let connection = connection(stream, site.clone(), ends.clone());
                    open.push_back(connections.spawn_local(connection));
                }
                Err(error) => {
                    log::warn!("cannot accept a connection: {error}");
                    time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drop(farewell);
    let all = async { while connections.join_next().await.is_some() {} };
    // Whoever does not read in time has had the chance.
    let _ = time::timeout(FAREWELL, all).await;
    Ok(())
}

/// Ends the oldest connection if there are as many as there may be.
fn make_room(open: &mut VecDeque<AbortHandle>) {
    open.retain(|connection| !connection.is_finished());
    if open.len() >= CONNECTIONS
        && let Some(oldest) = open.pop_front()
    {
        oldest.abort();
    }
}

async fn connection<S: Site + 'static>(
    stream: TcpStream,
    site: Rc<RefCell<S>>,
    mut ends: watch::Receiver<()>,
) {
    // Also when the other side says that it has no room (tcp(7)), which may go on for ever.
    if let Err(error) = set_tcp_user_timeout(&stream, STALL) {
        log::debug!("a connection may stall: {error}");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), request.headers(), &site);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
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

/// What a browser gets.
const INDEX: &str = "hist-bpf serve\n\n/metrics  what is counted\n/healthz  whether it answers\n";
const PLAIN: &str = "text/plain; charset=utf-8";

fn answer<S: Site>(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    site: &RefCell<S>,
) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET or HEAD\n".into());
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => {
            let format = negotiate(&accept(headers));
            let text = site.borrow_mut().metrics(format);
            page(StatusCode::OK, format.content_type(), text)
        }
        "/healthz" => page(StatusCode::OK, PLAIN, "ok\n".into()),
        "/" => page(StatusCode::OK, PLAIN, INDEX.into()),
        _ => page(StatusCode::NOT_FOUND, PLAIN, "no such page; /metrics is one\n".into()),
    }
}

/// All `Accept` headers, which mean the same as one.
fn accept(headers: &HeaderMap) -> String {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

fn page(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let value = hyper::header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}
