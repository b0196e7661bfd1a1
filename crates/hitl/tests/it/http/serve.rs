use std::io::ErrorKind;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{ADA, Site, api};

#[tokio::test]
async fn address_beyond_loopback_is_refused_by_default() {
    let site = Site::new();
    let stop = CancellationToken::new();
    stop.cancel();
    for beyond in ["0.0.0.0:0", "[::]:0"] {
        let listener = || TcpListener::bind(beyond);
        let refused =
            api(site.inbox.clone()).serve(listener().await.unwrap(), stop.clone()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable, "{beyond}");
        assert!(refused.to_string().contains("Api::beyond_loopback"), "{refused}");
        let open = api(site.inbox.clone()).beyond_loopback();
        open.serve(listener().await.unwrap(), stop.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn server_responds_until_it_is_stopped() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/questions", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let served = tokio::spawn(api(site.inbox.clone()).serve(listener, stop.clone()));
    let client = reqwest::Client::new();
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    let open = client.get(&url).bearer_auth(ADA).send().await.unwrap();
    assert_eq!(open.status(), 200);
    assert_eq!(open.text().await.unwrap(), r#"{"next":null,"questions":[]}"#);
    stop.cancel();
    served.await.unwrap().unwrap();
    assert!(client.get(&url).send().await.is_err());
}
