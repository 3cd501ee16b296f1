//! Fetching from a server of this test, which is inside and so has to be allowed.
use super::*;
use crate::crypto::cert::tests::Authority;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

/// Answers one request with these octets, and returns where.
fn server(answer: Vec<u8>) -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 1024];
        let len = stream.read(&mut request).unwrap();
        // The client may not want to hear it all.
        let _ = stream.write_all(&answer);
        String::from_utf8_lossy(&request[..len]).into_owned()
    });
    (port, thread)
}
fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
fn fetch(url: &str, allowed: &[&str]) -> Result<usize, String> {
    let allowed: Vec<String> = allowed.iter().map(|host| (*host).to_owned()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(one(url, &allowed, 0)).map(|crls| crls.len())
}

#[test]
fn a_list_is_fetched_from_where_it_may_be() {
    let list = Authority::root("root").crl_der(&[7], 2027);
    let (port, server) = server(answer("200 OK", &list));
    let url = format!("http://127.0.0.1:{port}/root.crl");
    assert!(fetch(&url, &[]).unwrap_err().contains("crl_hosts"), "it is inside");
    assert_eq!(fetch(&url, &["127.0.0.1"]), Ok(1));
    let request = server.join().unwrap();
    assert!(request.starts_with("GET /root.crl HTTP/1.1\r\n") && request.contains(&format!("host: 127.0.0.1:{port}")));
}

#[test]
fn what_is_no_list_is_refused() {
    let big = answer("200 OK", &vec![0; LARGEST + 1]);
    for (octets, said) in [
        (answer("404 Not Found", b""), "404"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n".to_vec(), "302"),
        (answer("200 OK", b"hello"), "revocation list"),
        (big, "larger"),
        (b"SSH-2.0\r\n".to_vec(), ""),
    ] {
        let (port, server) = server(octets);
        let error = fetch(&format!("http://127.0.0.1:{port}/"), &["127.0.0.1"]).unwrap_err();
        assert!(error.contains(said), "{error}");
        server.join().unwrap();
    }
}

#[test]
fn a_full_queue_answers_at_once_with_nothing() {
    let wake = Arc::new(EventFd::new().unwrap());
    let mut fetcher = Fetcher::start(0, wake).unwrap();
    let (jobs, mut waiting) = channel::channel(1);
    fetcher.jobs = jobs;
    fetcher.ask(6, vec!["http://127.0.0.1/".into()], Arc::default());
    assert!(fetcher.next().is_none(), "there was room for this one");
    fetcher.ask(7, vec!["http://127.0.0.1/".into()], Arc::default());
    assert!(matches!(fetcher.next(), Some((7, crls)) if crls.is_empty()));
    assert_eq!(waiting.try_recv().unwrap().job, 6);
}

/// How many lists one job finds, with these hosts allowed.
fn job(urls: Vec<String>, allowed: &[&str], cache: &Arc<Mutex<Cache>>) -> usize {
    let allowed = allowed.iter().map(|host| (*host).to_owned()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(all(&Job { job: 1, urls, allowed }, 0, cache, Duration::from_secs(2))).len()
}

#[test]
fn a_place_that_does_not_answer_takes_no_time_from_the_others() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, server) = server(answer("200 OK", &Authority::root("root").crl_der(&[], 2027)));
    let urls = [silent.local_addr().unwrap().port(), port].map(|port| format!("http://127.0.0.1:{port}/"));
    assert_eq!(job(urls.to_vec(), &["127.0.0.1"], &Arc::default()), 1);
    server.join().unwrap();
}

#[test]
fn what_one_connection_may_not_ask_another_may() {
    let (port, server) = server(answer("200 OK", &Authority::root("root").crl_der(&[], 2027)));
    let (url, cache) = (format!("http://127.0.0.1:{port}/"), Arc::default());
    assert_eq!(job(vec![url.clone()], &[], &cache), 0);
    assert_eq!(job(vec![url.clone()], &["127.0.0.1"], &cache), 1);
    server.join().unwrap();
    assert_eq!(job(vec![url], &["127.0.0.1"], &cache), 1, "nobody is asked again so soon");
}
