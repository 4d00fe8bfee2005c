//! Probes, metrics, and the life of HTTP connections.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use spk_serving::http::Limits;
use spk_serving::probes::{self, Pages, Topic};
use tokio::sync::{Notify, oneshot};

use super::*;

#[derive(Default)]
struct Program {
    ready: AtomicBool,
    broken: AtomicBool,
}

impl Pages for Program {
    fn not_healthy(&self) -> Option<String> {
        self.broken.load(Ordering::Relaxed).then(|| String::from("a part ended"))
    }

    fn not_ready(&self) -> Option<String> {
        let ready = self.ready.load(Ordering::Relaxed);
        (!ready).then(|| String::from("Secret x is missing"))
    }

    fn metrics(&self) -> String {
        String::from("spk_up 1\n# EOF\n")
    }
}

/// Asks plainly; status and body.
async fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{request} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// OPS-113 (the pages; each program shows that its own conditions arrive there).
#[tokio::test]
async fn readiness_follows_the_program_and_health_its_own_state() {
    let program = Arc::new(Program::default());
    let listener = probes::listen("127.0.0.1:0".parse().unwrap(), "probes").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(probes::serve(listener, Topic::Probes, Arc::clone(&program) as _));
    assert_eq!(ask(address, "GET /healthz").await, (200, String::from("ok\n")));
    let not_ready = (503, String::from("Secret x is missing\n"));
    assert_eq!(ask(address, "GET /readyz").await, not_ready);
    program.ready.store(true, Ordering::Relaxed);
    assert_eq!(ask(address, "GET /readyz").await, (200, String::from("ok\n")));
    program.broken.store(true, Ordering::Relaxed);
    for page in ["GET /healthz", "GET /readyz"] {
        assert_eq!(ask(address, page).await, (503, String::from("a part ended\n")));
    }
    assert_eq!(ask(address, "GET /metrics").await.0, 404);
    assert_eq!(ask(address, "POST /healthz").await.0, 405);
    let error = probes::listen(address, "probes").await.unwrap_err();
    assert!(error.to_string().contains("for probes"), "{error}");
}

/// Asks over TLS with the protocol that was negotiated; version and body.
async fn fetch(address: SocketAddr, config: Arc<ClientConfig>, path: &str) -> (Version, String) {
    let stream = connect(address, config).await.unwrap();
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let request = Request::get(path).header("host", "x").body(Empty::<Bytes>::new()).unwrap();
    let response = if http2 {
        let io = TokioIo::new(stream);
        let request = Request::get(format!("https://f5-spk-cwc.default{path}"))
            .body(Empty::<Bytes>::new())
            .unwrap();
        let (mut send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        send.send_request(request).await.unwrap()
    } else {
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        send.send_request(request).await.unwrap()
    };
    let version = response.version();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (version, String::from_utf8(body.to_vec()).unwrap())
}

/// OPS-115 (N19, the listener's part): metrics are served to clients of the CA, by HTTP/2 and
/// HTTP/1.1, and to nobody else.
#[tokio::test]
async fn metrics_are_served_behind_mutual_tls_by_both_versions_of_http() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = TlsListener::serve(listener, place.follow_server().0).unwrap();
    let address = listener.address();
    tokio::spawn(probes::serve_metrics(listener, Arc::new(Program::default())));
    let config = place.follow_client().client_config().unwrap();
    let page = String::from("spk_up 1\n# EOF\n");
    let both = fetch(address, Arc::clone(&config), "/metrics").await;
    assert_eq!(both, (Version::HTTP_2, page.clone()));
    let mut old = (*config).clone();
    old.alpn_protocols = vec![b"http/1.1".to_vec()];
    let old = Arc::new(old);
    assert_eq!(fetch(address, Arc::clone(&old), "/metrics").await, (Version::HTTP_11, page));
    assert_eq!(fetch(address, old, "/healthz").await.1, "no such page\n");
    let foreign = client(&place.ca_text(), Some(&pair(&authority(), &client_leaf())));
    let refused = match connect(address, foreign).await {
        Err(error) => error,
        Ok(mut stream) => stream.read_u8().await.unwrap_err(),
    };
    assert!(refused.to_string().contains("alert"), "{refused}");
}

/// The end in order: an open request is still answered, a new connection is not taken.
#[tokio::test]
async fn open_request_is_answered_after_the_program_was_asked_to_end() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = TlsListener::serve(listener, place.follow_server().0).unwrap();
    let address = listener.address();
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (stop, stopped) = oneshot::channel::<()>();
    let (telling, waiting) = (Arc::clone(&begun), Arc::clone(&go));
    let serving = tokio::spawn(spk_serving::http::serve(
        listener,
        Limits::default(),
        move |_| {
            let (telling, waiting) = (Arc::clone(&telling), Arc::clone(&waiting));
            service_fn(move |_: Request<Incoming>| {
                let (telling, waiting) = (Arc::clone(&telling), Arc::clone(&waiting));
                async move {
                    telling.notify_one();
                    waiting.notified().await;
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("done"))))
                }
            })
        },
        async move { drop(stopped.await) },
    ));
    let config = place.follow_client().client_config().unwrap();
    for alpn in [b"h2".to_vec(), b"http/1.1".to_vec()] {
        let mut config = (*config).clone();
        config.alpn_protocols = vec![alpn];
        let asking = tokio::spawn(fetch(address, Arc::new(config), "/"));
        begun.notified().await;
        go.notify_one();
        assert_eq!(asking.await.unwrap().1, "done");
    }
    let asking = tokio::spawn(fetch(address, Arc::clone(&config), "/"));
    begun.notified().await;
    stop.send(()).unwrap();
    within_10_s("nothing listens", async || TcpStream::connect(address).await.is_err()).await;
    assert!(!serving.is_finished());
    go.notify_one();
    assert_eq!(asking.await.unwrap().1, "done");
    within_10_s("serving ends", async || serving.is_finished()).await;
}

#[tokio::test]
async fn peer_that_sends_no_head_is_left() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = TlsListener::serve(listener, place.follow_server().0).unwrap();
    let address = listener.address();
    let limits = Limits { header: Duration::from_millis(300), ..Limits::default() };
    let service = |_: &_| {
        service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        })
    };
    tokio::spawn(spk_serving::http::serve(listener, limits, service, std::future::pending()));
    let mut config = (*place.follow_client().client_config().unwrap()).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut stream = connect(address, Arc::new(config)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
    let mut heard = Vec::new();
    // Closed by the other side, with or without a word.
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut heard))
        .await
        .expect("the connection is left open");
}
