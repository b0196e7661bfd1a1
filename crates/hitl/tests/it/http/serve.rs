use std::net::SocketAddr;

use awaitly_hitl::http::ServeError;
use tokio_util::sync::CancellationToken;

use super::{ADA, Site, api};

fn at(addr: &str) -> SocketAddr {
    addr.parse().unwrap()
}

#[tokio::test]
async fn address_beyond_loopback_is_refused_by_default() {
    let site = Site::new();
    for beyond in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let stop = CancellationToken::new();
        stop.cancel();
        let refused = api(site.inbox.clone()).serve(at(beyond), stop).await;
        assert!(
            matches!(refused, Err(ServeError::BeyondLoopback { addr }) if addr == at(beyond)),
            "{beyond}"
        );
    }
    for here in ["127.0.0.1:0", "127.0.0.2:0"] {
        let bound = api(site.inbox.clone()).bind(at(here)).await.unwrap();
        assert!(bound.local_addr().ip().is_loopback() && bound.local_addr().port() != 0);
    }
    let bound = api(site.inbox.clone()).beyond_loopback().bind(at("0.0.0.0:0")).await.unwrap();
    assert!(bound.local_addr().ip().is_unspecified());

    let taken = api(site.inbox.clone()).bind(at("127.0.0.1:0")).await.unwrap();
    let refused = api(site.inbox.clone()).bind(taken.local_addr()).await;
    assert!(matches!(refused, Err(ServeError::Bind { .. })));
}

#[tokio::test]
async fn server_responds_until_it_is_stopped() {
    let site = Site::new();
    let bound = api(site.inbox.clone()).bind(at("127.0.0.1:0")).await.unwrap();
    let url = format!("http://{}/questions", bound.local_addr());
    let stop = CancellationToken::new();
    let served = tokio::spawn(bound.serve(stop.clone()));
    let client = reqwest::Client::new();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    let open = client.get(&url).bearer_auth(ADA).send().await.unwrap();
    assert_eq!(open.status(), 200);
    assert_eq!(open.text().await.unwrap(), r#"{"next":null,"questions":[]}"#);
    stop.cancel();
    served.await.unwrap();
    assert!(client.get(&url).send().await.is_err());
}
