//! Other files while connections are open.

use super::*;

/// OPS-320 (for all that follow files by this crate), LIC-305 (its generic part): after the mount
/// changed, a new handshake shows the new certificate within 10 s, and an open connection lives on.
#[tokio::test]
async fn new_handshakes_show_the_new_certificate_and_open_connections_live_on() {
    let place = Place::new();
    let first = place.new_server_pair();
    place.server(&first);
    let (tls, events) = place.follow_server();
    let address = echo(tls.clone()).await;
    let config = place.follow_client().client_config().unwrap();
    let mut open = connect(address, Arc::clone(&config)).await.unwrap();
    assert_eq!(shown(&open), der(&first));

    let second = place.new_server_pair();
    place.server(&second);
    within_10_s("a new handshake shows the new certificate", async || {
        shown(&connect(address, Arc::clone(&config)).await.unwrap()) == der(&second)
    })
    .await;
    say(&mut open, b"still here").await.unwrap();
    assert_eq!(shown(&open), der(&first));
    assert_eq!(events.reasons(), ["CertificateReloaded"]);
    assert_eq!(*tls.changes().borrow(), 2);
}

/// OPS-320, the client's side: the next connection shows the new certificate.
#[tokio::test]
async fn next_connection_of_a_client_shows_its_new_certificate() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut listener = TlsListener::serve(listener, place.follow_server().0).unwrap();
    let address = listener.address();
    let following = place.follow_client();
    let second = pair(&place.ca, &client_leaf());
    mount(&place.client_dir(), CLIENT_KEYS, &place.ca_text(), &second);
    within_10_s("the server sees the new certificate", async || {
        let config = following.client_config().unwrap();
        let (accepted, stream) = tokio::join!(listener.accept(), connect(address, config));
        drop(stream.unwrap());
        accepted.unwrap().peer.certificate.to_vec() == der(&second)
    })
    .await;
}

/// OPS-322 on a running listener: the old pair stays in use, and the event names Secret and reason.
#[tokio::test]
async fn broken_pair_leaves_the_old_one_in_use() {
    let place = Place::new();
    let good = place.new_server_pair();
    place.server(&good);
    let (tls, events) = place.follow_server();
    let address = echo(tls).await;
    let config = place.follow_client().client_config().unwrap();
    let broken = Pair { key: pair(&place.ca, &server_leaf()).key, ..good.clone() };
    place.server(&broken);
    within_10_s("the event", async || events.reasons() == ["CertificateRefused"]).await;
    let text = events.texts().remove(0);
    assert!(text.contains("Secret cwc-license-certs") && text.contains("does not fit"), "{text}");
    let stream = connect(address, Arc::clone(&config)).await.unwrap();
    assert_eq!(shown(&stream), der(&good));
    // Gone is refused, too; and the way back is open.
    fs::remove_file(place.server_dir().join("..data")).unwrap();
    within_10_s("a second event", async || events.reasons().len() == 2).await;
    assert_eq!(shown(&connect(address, Arc::clone(&config)).await.unwrap()), der(&good));
    let next = place.new_server_pair();
    place.server(&next);
    within_10_s("the next good pair", async || {
        shown(&connect(address, Arc::clone(&config)).await.unwrap()) == der(&next)
    })
    .await;
}

/// OPS-321: from one CA to another in three steps; whichever end got the files of a step first, a
/// connection can be made.
#[tokio::test]
async fn ca_is_replaced_without_a_moment_at_which_no_connection_can_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut order = cert_gen::Order::new(cert_gen::Service::ApiServer, dir.path().join("tree"));
    order.names = vec![String::from("f5-spk-cwc.default")];
    order.key = KeyKind::EcP256;
    let mounts = dir.path().join("mounts");
    let apply = |secrets: &[cert_gen::Secret], name: &str| {
        let secret = secrets.iter().find(|secret| secret.name == name).unwrap();
        secret.write_directory(&mounts).unwrap();
    };
    let (server, client) = ("cwc-license-certs", "cwc-license-client-certs");
    let first = cert_gen::make(&order, now()).unwrap().secrets;
    apply(&first, server);
    apply(&first, client);
    let (serving, _) = follow(TlsFiles::server(&mounts.join(server)));
    let (asking, _) = follow(TlsFiles::client(&mounts.join(client)));
    let address = echo(serving.clone()).await;
    let try_it = async || {
        let mut stream = connect(address, asking.client_config().unwrap()).await.unwrap();
        say(&mut stream, b"both ways").await.unwrap();
        shown(&stream)
    };
    let before = try_it().await;
    order.rotate = Some(cert_gen::Rotation::Ca);
    for step in 1..=3 {
        let secrets = cert_gen::make(&order, now()).unwrap().secrets;
        // The server is first in one step, the client in the next.
        let turns = if step == 2 { [client, server] } else { [server, client] };
        for name in turns {
            let end = if name == server { &serving } else { &asking };
            let changes = *end.changes().borrow();
            apply(&secrets, name);
            // Files are replaced one by one here, so an end may change more than once.
            let wanted = secrets.iter().find(|secret| secret.name == name).unwrap();
            let wanted = [&wanted.data[0].1, &wanted.data[1].1, &wanted.data[2].1];
            within_10_s("the files of the step are in use", async || {
                try_it().await;
                let pem = end.pem().unwrap();
                [&pem.ca, &pem.certificate, &pem.key]
                    .iter()
                    .zip(wanted)
                    .all(|(found, wanted)| ***found == *wanted.as_bytes())
            })
            .await;
            assert!(*end.changes().borrow() > changes, "step {step}");
            try_it().await;
        }
    }
    assert_ne!(try_it().await, before);
    let old = client_of(&first);
    assert!(connect(address, old).await.is_err(), "the old CA is still trusted");
}

/// A client with the files of `secrets`.
fn client_of(secrets: &[cert_gen::Secret]) -> Arc<ClientConfig> {
    let secret = secrets.iter().find(|secret| secret.name == "cwc-license-client-certs").unwrap();
    let [ca, certificate, key] = [0, 1, 2].map(|index: usize| secret.data[index].1.clone());
    super::client(&ca, Some(&Pair { certificate, key }))
}
