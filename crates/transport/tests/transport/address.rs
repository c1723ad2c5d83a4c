//! Public addresses only: the table of forms, names that lead inside, and names that change their mind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use trunkline_core_types::{AttemptError, BoxFuture, FailureKind, Origin};
use trunkline_transport::{Dial, PublicOnly, Resolve, SystemResolve, Wire, is_public, public_address_only};

#[test]
fn the_table_of_urls() {
    let table = [
        ("https://media.example.com/r/1.mp3?sig=x", true),
        ("https://media.example.com.:8443/", true),
        ("https://8.8.8.8/", true),
        ("https://[2606:4700::1111]/", true),
        ("https://8.8.8.8.example.com/", true),
        ("https://0x7f.example.com/", true),
        ("http://media.example.com/", false),
        ("ftp://media.example.com/", false),
        ("https://user@media.example.com/", false),
        ("https://media.example.com:0/", false),
        ("/r/1.mp3", false),
        ("", false),
        // This machine.
        ("https://localhost/", false),
        ("https://LOCALHOST./", false),
        ("https://a.localhost/", false),
        ("http://127.0.0.1/", false),
        ("https://127.0.0.1/", false),
        ("https://127.9.9.9./", false),
        ("https://[::1]/", false),
        ("https://0.0.0.0/", false),
        ("https://[::]/", false),
        // The same address in forms that readers take differently.
        ("https://2130706433/", false),
        ("https://134744072/", false),
        ("https://017700000001/", false),
        ("https://0x7f000001/", false),
        ("https://0X7F.0.0.1/", false),
        ("https://0x/", false),
        ("https://0177.0.0.1/", false),
        ("https://127.1/", false),
        ("https://127.0.1/", false),
        ("https://127.0.0.01/", false),
        ("https://8.8.8.08/", false),
        ("https://8.8.8.8.8/", false),
        ("https://256.8.8.8/", false),
        ("https://1.2.3/", false),
        // Inside networks.
        ("https://10.1.2.3/", false),
        ("https://172.31.255.255/", false),
        ("https://192.168.0.1/", false),
        ("https://100.64.0.1/", false),
        ("https://169.254.1.1/", false),
        ("https://[fe80::1]/", false),
        ("https://[fc00::1]/", false),
        ("https://intranet/", false),
        ("https://pbx.local/", false),
        ("https://pbx.home.arpa/", false),
        ("https://pbx.lan/", false),
        // Metadata services.
        ("https://169.254.169.254/latest/meta-data/", false),
        ("https://[fd00:ec2::254]/", false),
        ("https://100.100.100.200/", false),
        ("https://192.0.0.192/", false),
        ("https://168.63.129.16/", false),
        ("https://metadata.google.internal/", false),
        // IPv4 written as, or tunnelled in, IPv6.
        ("https://[::ffff:127.0.0.1]/", false),
        ("https://[::ffff:8.8.8.8]/", false),
        ("https://[::ffff:a9fe:a9fe]/", false),
        ("https://[::127.0.0.1]/", false),
        ("https://[64:ff9b::169.254.169.254]/", false),
        ("https://[64:ff9b::8.8.8.8]/", true),
        ("https://[64:ff9b:1::8.8.8.8]/", false),
        ("https://[2002:7f00:1::]/", false),
        ("https://[2001:0:7f00:1::]/", false),
        ("https://[fe80::1%25eth0]/", false),
        // Multicast, documentation, benchmarking, reserved.
        ("https://224.0.0.1/", false),
        ("https://255.255.255.255/", false),
        ("https://240.0.0.1/", false),
        ("https://192.0.2.1/", false),
        ("https://198.51.100.1/", false),
        ("https://203.0.113.1/", false),
        ("https://198.19.0.1/", false),
        ("https://[ff02::1]/", false),
        ("https://[2001:db8::1]/", false),
        ("https://[3fff::1]/", false),
        ("https://[100::1]/", false),
        // Not names.
        ("https://.example.com/", false),
        ("https://a..example.com/", false),
        ("https://%6c%6f%63%61%6c%68%6f%73%74/", false),
        ("https://media.example.com%2f@127.0.0.1/", false),
        ("https://127.0.0.1\\@media.example.com/", false),
        ("https://１２７.0.0.1/", false),
    ];
    for (url, want) in table {
        let seen = public_address_only(url);
        assert_eq!(seen.is_ok(), want, "{url}: {seen:?}");
        if let Err(error) = seen {
            assert_eq!(error.field(), "url");
        }
    }
}

#[test]
fn a_refusal_does_not_repeat_the_url() {
    let error = public_address_only("https://10.0.0.1/r?token=canary-7f3a").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
}

/// What the standard library knows about an address, for a second opinion.
fn known_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            a.is_private()
                || a.is_loopback()
                || a.is_link_local()
                || a.is_multicast()
                || a.is_unspecified()
                || a.is_broadcast()
                || a.is_documentation()
        }
        IpAddr::V6(a) => {
            a.is_loopback()
                || a.is_unspecified()
                || a.is_multicast()
                || a.is_unique_local()
                || a.is_unicast_link_local()
                || a.to_ipv4_mapped().is_some()
        }
    }
}

/// IPv4 addresses of which many lie in or next to the special ranges.
fn v4() -> impl Strategy<Value = Ipv4Addr> {
    let first = prop_oneof![
        any::<u8>(),
        proptest::sample::select(vec![0u8, 10, 100, 127, 169, 172, 192, 198, 203, 224])
    ];
    let second =
        prop_oneof![any::<u8>(), proptest::sample::select(vec![0u8, 16, 18, 31, 51, 64, 88, 127, 168, 254])];
    (first, second, any::<u8>(), any::<u8>()).prop_map(|(a, b, c, d)| Ipv4Addr::new(a, b, c, d))
}

proptest! {
    #[test]
    fn what_the_standard_library_calls_inside_is_refused(four in v4(), six: u128) {
        for address in [IpAddr::V4(four), IpAddr::V6(Ipv6Addr::from(six)), IpAddr::V6(four.to_ipv6_mapped())] {
            prop_assert!(!(known_inside(address) && is_public(address)), "{address}");
        }
    }

    #[test]
    fn an_address_is_taken_in_its_usual_form_only(four in v4()) {
        let [a, b, c, d] = four.octets();
        prop_assert_eq!(public_address_only(&format!("https://{four}/")).is_ok(), is_public(four.into()));
        prop_assert_eq!(public_address_only(&format!("https://{four}./")).is_ok(), is_public(four.into()));
        let number = four.to_bits();
        let forms = [
            format!("{number}"), format!("0x{number:x}"), format!("0{number:o}"), format!("{a}.{}", number & 0xff_ffff),
            format!("{a}.{b}.{}", number & 0xffff), format!("0x{a:x}.{b}.{c}.{d}"), format!("{a}.{b}.{c}.0x{d:x}"),
            format!("0{a:o}.{b}.{c}.{d}"), format!("{a}.{b}.{c}.00{d:o}"),
        ];
        for form in forms {
            prop_assert!(public_address_only(&format!("https://{form}/")).is_err(), "{}", form);
        }
    }

    #[test]
    fn what_carries_an_inside_ipv4_address_is_refused(four in v4()) {
        let [a, b, c, d] = four.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        for six in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        ] {
            prop_assert!(!is_public(six.into()), "{}", six);
        }
        let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
        prop_assert_eq!(is_public(nat64.into()), is_public(four.into()));
    }

    #[test]
    fn no_text_panics(text in "(https://)?\\PC{0,50}") {
        let _ = public_address_only(&text);
    }
}

/// A resolver that answers from a list, each time the next.
#[derive(Debug)]
struct Answers(Mutex<Vec<Vec<&'static str>>>);

impl Resolve for Answers {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, AttemptError>> {
        let answer = self.0.lock().unwrap().remove(0);
        Box::pin(async move { Ok(answer.iter().map(|text| text.parse().unwrap()).collect()) })
    }
}

/// Notes where it was sent, and connects to nobody.
#[derive(Debug, Default)]
struct Noting(Mutex<Vec<String>>);

impl Dial for Noting {
    fn connect<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Box<dyn Wire>, AttemptError>> {
        self.0.lock().unwrap().push(format!("{}:{}", origin.host(), origin.port()));
        Box::pin(async { Err(AttemptError::new(FailureKind::Connect, "noted")) })
    }
}

/// Dials `url` twice; gives the last failure and where the inner dialler was sent.
async fn dial(url: &str, answers: Vec<Vec<&'static str>>) -> (FailureKind, Vec<String>) {
    let noting = Arc::new(Noting::default());
    let guard = PublicOnly::with_resolver(noting.clone(), Arc::new(Answers(answers.into())));
    let origin: Origin = url.parse().unwrap();
    let mut kind = None;
    for _ in 0..2 {
        kind = guard.connect(&origin).await.err().map(|error| error.kind());
    }
    let sent = noting.0.lock().unwrap().clone();
    (kind.unwrap(), sent)
}

#[tokio::test]
async fn the_addresses_that_were_checked_are_the_ones_that_are_dialled() {
    let answers = vec![vec!["8.8.8.8", "2606:4700::1111"], vec!["8.8.4.4"]];
    let (kind, sent) = dial("https://media.example.com:8443", answers).await;
    assert_eq!(kind, FailureKind::Connect);
    assert_eq!(sent, ["8.8.8.8:8443", "[2606:4700::1111]:8443", "8.8.4.4:8443"]);
}

#[tokio::test]
async fn a_name_that_turns_inside_is_not_dialled() {
    for inside in
        ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "fd00:ec2::254", "::ffff:10.0.0.7", "0.0.0.0"]
    {
        let answers = vec![vec!["8.8.8.8"], vec!["8.8.8.8", inside]];
        let (kind, sent) = dial("https://media.example.com", answers).await;
        assert_eq!((kind, sent), (FailureKind::Request, vec!["8.8.8.8:443".to_owned()]), "{inside}");
    }
}

#[tokio::test]
async fn literals_and_local_names_are_not_even_resolved() {
    for url in
        ["https://127.0.0.1", "http://127.0.0.1:8080", "https://[::1]", "https://localhost", "https://0x7f.1"]
    {
        assert_eq!(dial(url, Vec::new()).await, (FailureKind::Request, Vec::new()), "{url}");
    }
    let (kind, sent) = dial("https://[2606:4700::1111]", Vec::new()).await;
    assert_eq!((kind, sent[0].as_str()), (FailureKind::Connect, "[2606:4700::1111]:443"));
}

#[tokio::test]
async fn a_name_without_an_address_is_unresolved() {
    let (kind, sent) = dial("https://media.example.com", vec![Vec::new(), Vec::new()]).await;
    assert_eq!((kind, sent), (FailureKind::Resolve, Vec::new()));
}

#[tokio::test]
async fn the_machine_s_resolver_knows_the_machine() {
    let found = SystemResolve::new().resolve("localhost").await.unwrap();
    assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
}
