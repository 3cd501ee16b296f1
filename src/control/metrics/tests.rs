//! What is written is read by a parser that believes nothing, and what is asked of it elsewhere exists.
use super::families::FAMILIES;
use super::meter::{Figure, Pool};
use super::*;
use crate::control::access::Role;
use crate::control::board::Piece;
use crate::control::fake::Fake;
use crate::control::types::Connection;
use crate::dataplane::stats::WorkerStats;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

/// One sample: its name, its labels, its value.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}
/// All families by the names in their TYPE lines.
type Document = BTreeMap<String, (String, Vec<Sample>)>;

/// Reads either form; `Err` names the line.
fn parse(text: &str, form: Form) -> Result<Document, String> {
    let mut document = Document::new();
    let mut series = HashSet::new();
    let (mut helped, mut current) = (None, None::<String>);
    let body = match form {
        Form::Prometheus => text,
        Form::OpenMetrics => text.strip_suffix("# EOF\n").ok_or("no EOF at the end")?,
    };
    if !body.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    for line in body.lines() {
        let wrong = |what: &str| Err(format!("{what}: {line}"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or(format!("no help: {line}"))?;
            if help.is_empty() || help.contains('\\') || !is_name(name) {
                return wrong("bad HELP");
            }
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or(format!("no type: {line}"))?;
            if helped.as_deref() != Some(name) || !["gauge", "counter", "histogram", "info"].contains(&kind) {
                return wrong("bad TYPE");
            }
            if kind == "info" && form == Form::Prometheus {
                return wrong("a kind that 0.0.4 does not have");
            }
            if document.insert(name.to_owned(), (kind.to_owned(), Vec::new())).is_some() {
                return wrong("a family twice");
            }
            current = Some(name.to_owned());
        } else if line.starts_with('#') || line.is_empty() {
            return wrong("neither comment nor sample");
        } else {
            let sample = sample(line)?;
            let Some((family, (kind, samples))) =
                current.as_ref().and_then(|name| document.get_key_value(name)).map(|(k, v)| (k.clone(), v.clone()))
            else {
                return wrong("a sample of nothing");
            };
            let suffixes: &[&str] = match (kind.as_str(), form) {
                ("histogram", _) => &["_bucket", "_sum", "_count"],
                ("counter", Form::OpenMetrics) => &["_total"],
                ("info", Form::OpenMetrics) => &["_info"],
                _ => &[""],
            };
            if !suffixes.iter().any(|suffix| sample.name == format!("{family}{suffix}")) {
                return wrong("a sample of another family");
            }
            if kind == "counter" && (!sample.name.ends_with("_total") || sample.value < 0.0) {
                return wrong("no counter");
            }
            if !series.insert(format!("{}{:?}", sample.name, sample.labels)) {
                return wrong("a series twice");
            }
            let mut samples = samples;
            samples.push(sample);
            document.insert(family, (kind, samples));
        }
    }
    document
        .iter()
        .filter(|(_, (kind, _))| kind == "histogram")
        .try_for_each(|(name, (_, samples))| histogram(name, samples))?;
    Ok(document)
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn sample(line: &str) -> Result<Sample, String> {
    let wrong = |what: &str| format!("{what}: {line}");
    let end = line.find(['{', ' ']).ok_or(wrong("no value"))?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").ok_or(wrong("no label"))?;
            let (text, len) = quoted(value).ok_or(wrong("a bad label"))?;
            if !is_name(label) || label.starts_with("__") || labels.insert(label.to_owned(), text).is_some() {
                return Err(wrong("a bad label's name"));
            }
            rest = &value[len..];
            match rest.chars().next() {
                Some(',') => rest = &rest[1..],
                Some('}') => break,
                _ => return Err(wrong("labels without an end")),
            }
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').ok_or(wrong("no blank"))?;
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().map_err(|_| wrong("no number"))? };
    if !is_name(name) {
        return Err(wrong("a bad name"));
    }
    Ok(Sample { name: name.into(), labels, value })
}

/// A text up to its quote, and the octets up to behind that.
fn quoted(text: &str) -> Option<(String, usize)> {
    let (mut out, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, at + 1)),
            '\n' => return None,
            '\\' => out.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                _ => return None,
            }),
            c => out.push(c),
        }
    }
    None
}

fn histogram(name: &str, samples: &[Sample]) -> Result<(), String> {
    let of = |suffix: &str| samples.iter().filter(move |s| s.name == format!("{name}{suffix}")).collect::<Vec<_>>();
    let (buckets, sums, counts) = (of("_bucket"), of("_sum"), of("_count"));
    let bounds: Vec<f64> = buckets
        .iter()
        .map(|bucket| {
            bucket
                .labels
                .get("le")
                .map_or(f64::NAN, |le| if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap_or(f64::NAN) })
        })
        .collect();
    let rises = bounds.windows(2).all(|pair| pair[0] < pair[1]);
    let grows = buckets.windows(2).all(|pair| pair[0].value <= pair[1].value);
    let (last, [_], [count]) = (bounds.last(), sums.as_slice(), counts.as_slice()) else {
        return Err(format!("{name}: half of it"));
    };
    let whole = last == Some(&f64::INFINITY) && buckets.last().is_some_and(|bucket| bucket.value == count.value);
    if rises && grows && whole { Ok(()) } else { Err(format!("{name}: {samples:?}")) }
}

/// With a name that would be trouble.
const NAME: &str = "a\"b\\c\nd";

fn connections() -> Vec<Connection> {
    let (up, down) = (
        up(),
        serde_json::json!({ "name": "down", "state": "down", "sas": [], "peers": [], "warnings": [], "children": [] }),
    );
    [up, down].map(|json| serde_json::from_value(json).unwrap()).into()
}

fn up() -> serde_json::Value {
    serde_json::json!({
        "name": NAME, "state": "up", "since": "2026-11-23T10:00:00Z", "certificate_until": "2027-01-01T00:00:00Z",
        "ike": { "spi_i": "1", "spi_r": "2", "initiator": true, "nat": "local" }, "peers": [], "warnings": [],
        "sas": [{ "id": 1, "state": "up", "local": "192.0.2.1:4500", "remote": "192.0.2.2:4500", "vips": [], "leases": ["10.9.0.7", "fd09::1"],
                  "spi_i": "1", "spi_r": "2", "initiator": true, "nat": "local" }],
        "children": [{
            "name": "lan", "mode": "tunnel", "state": "up", "local_ts": [], "remote_ts": [], "bytes_in": 7, "bytes_out": 9, "packets_in": 1,
            "packets_out": 2, "mtu": 1422, "drops": { "replayed": 3, "bad_icv": 0 }, "sas": [], "monitor": {
                "target": "10.2.0.1", "state": "failing", "since": "2026-11-23T10:00:00Z", "rtt_ms": 12.5, "loss_percent": 50.0, "sent": 10, "received": 5 }
        }]
    })
}

fn board(connections: Vec<Connection>) -> Arc<Board> {
    Arc::new(Board::new(connections.into_iter().map(|shown| Arc::new(Piece::new(shown, Vec::new())))))
}

fn scrape(connections: Vec<Connection>) -> Scrape {
    let (meter, name) = (Meter::default(), Arc::<str>::from(NAME));
    let pool = Pool { name: "office".into(), range: ("10.9.0.0".parse().unwrap(), "10.9.0.255".parse().unwrap()) };
    meter.configure([(name.clone(), BTreeSet::from(["lan".into()]))].into_iter(), vec![pool]);
    meter.handshake(&name, true, Duration::from_millis(42));
    meter.child_rekeyed(&name, Some(Duration::from_secs(60)));
    meter.ike_rekeyed(&name);
    meter.failed(Some(&name), "ike_auth", "auth.failed", Duration::from_secs(1_700_000_000));
    meter.failed(None, "sa_init", "peer.unknown", Duration::from_secs(1));
    meter.ended(&name, "by_peer");
    meter.turn(Duration::from_micros(300));
    meter.set(Figure::HalfOpen, 4);
    meter.set_workers(vec![Arc::default(), Arc::<WorkerStats>::default()]);
    Scrape { board: board(connections), meter: Arc::new(meter), process: Process::read() }
}

/// All pieces, and how many there are.
fn whole(scrape: &Scrape, form: Form) -> (String, usize) {
    let (mut text, mut place, mut pieces) = (String::new(), Some(Place::default()), 0);
    while let Some(at) = place {
        let (more, next) = piece(scrape, form, at);
        text.push_str(&more);
        (place, pieces) = (next, pieces + 1);
    }
    (text, pieces)
}

#[test]
fn both_forms_are_what_they_claim_to_be() {
    for form in [Form::Prometheus, Form::OpenMetrics] {
        let (text, _) = whole(&scrape(connections()), form);
        let document = parse(&text, form).unwrap();
        assert_eq!(document.len(), FAMILIES.len());
        let value = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let mut all = document.values().flat_map(|(_, samples)| samples);
            all.find(|sample| sample.name == name && sample.labels == labels).map(|sample| sample.value)
        };
        let (connection, child) = (("connection", NAME), ("child", "lan"));
        assert_eq!(value("sandhog_connection_up", &[connection]), Some(1.0));
        assert_eq!(value("sandhog_connection_up", &[("connection", "down")]), Some(0.0));
        assert_eq!(value("sandhog_connection_state", &[("connection", "down"), ("state", "down")]), Some(1.0));
        assert_eq!(value("sandhog_connection_up_since_seconds", &[connection]), Some(1_795_428_000.0));
        assert_eq!(value("sandhog_child_bytes_total", &[connection, child, ("direction", "out")]), Some(9.0));
        assert_eq!(value("sandhog_child_drops_total", &[connection, child, ("reason", "replayed")]), Some(3.0));
        assert_eq!(value("sandhog_child_drops_total", &[connection, child, ("reason", "bad_icv")]), None);
        assert_eq!(value("sandhog_child_wanted", &[connection, child]), Some(1.0));
        assert_eq!(value("sandhog_monitor_rtt_seconds", &[connection, child]), Some(0.0125));
        assert_eq!(value("sandhog_monitor_passing", &[connection, child]), Some(0.0));
        assert_eq!(
            value("sandhog_failures_total", &[connection, ("phase", "ike_auth"), ("code", "auth.failed")]),
            Some(1.0)
        );
        assert_eq!(
            value("sandhog_stranger_failures_total", &[("phase", "sa_init"), ("code", "peer.unknown")]),
            Some(1.0)
        );
        assert_eq!(value("sandhog_handshakes_total", &[("connection", "down"), ("role", "initiator")]), Some(0.0));
        assert_eq!(value("sandhog_pool_addresses", &[("pool", "office")]), Some(256.0));
        assert_eq!(value("sandhog_pool_addresses_used", &[("pool", "office")]), Some(1.0));
        assert_eq!(value("sandhog_handshake_duration_seconds_bucket", &[("le", "0.05")]), Some(1.0));
        assert_eq!(value("sandhog_rekey_duration_seconds_bucket", &[("le", "10.0")]), Some(0.0));
        assert_eq!(value("sandhog_drops_total", &[("worker", "1"), ("reason", "no_sa")]), Some(0.0));
        assert_eq!(value("sandhog_ike_half_open", &[]), Some(4.0));
        assert_eq!(value("sandhog_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), Some(1.0));
        assert!(value("process_resident_memory_bytes", &[]).unwrap() > 1e6);
    }
}

#[test]
fn the_parser_sees_what_is_wrong() {
    let head = "# HELP a_total x\n# TYPE a_total counter\n";
    let wrong = |text: &str| parse(&format!("{head}{text}"), Form::Prometheus).unwrap_err();
    for (text, what) in [
        ("a_total 1\na_total 2\n", "a series twice"),
        ("b_total 1\n", "another family"),
        ("a_total -1\n", "no counter"),
        ("a_total{x=\"\\t\"} 1\n", "a bad label"),
        ("a_total{x=\"1\",x=\"2\"} 1\n", "label's name"),
        ("a_total{x=\"1\" 1\n", "without an end"),
        ("a_total one\n", "no number"),
        ("a_total 1", "no end"),
        ("\n", "neither"),
        ("# TYPE b gauge\n", "bad TYPE"),
        ("# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n", "h: "),
    ] {
        assert!(wrong(text).contains(what), "{text}: {}", wrong(text));
    }
}

#[test]
fn ten_thousand_connections_come_in_small_pieces() {
    let many: Vec<Connection> =
        (0..10_000).map(|n| Connection { name: format!("c{n}"), ..connections()[0].clone() }).collect();
    let scrape = scrape(many);
    let mut place = Some(Place::default());
    let mut longest = 0;
    while let Some(at) = place {
        let (text, next) = piece(&scrape, Form::Prometheus, at);
        longest = longest.max(text.len());
        place = next;
    }
    assert!(longest < 128 * 1024, "{longest}");
    let few: Vec<Connection> =
        (0..150).map(|n| Connection { name: format!("c{n}"), ..connections()[0].clone() }).collect();
    let scrape = Scrape { board: board(few), ..scrape };
    let (text, pieces) = whole(&scrape, Form::Prometheus);
    assert!(pieces > 10);
    assert_eq!(parse(&text, Form::Prometheus).unwrap()["sandhog_connection_up"].1.len(), 150);
}

/// All that a reader keeps waiting is what the engine has itself.
#[test]
fn a_hundred_slow_readers_share_one_board() {
    let (requests, incoming) = std::sync::mpsc::sync_channel(1);
    let (incoming, board) = (std::sync::Mutex::new(incoming), board(connections()));
    let shown = board.clone();
    let engine = Engine::new(
        requests,
        Arc::new(move || {
            if let Ok(Request::Board(reply)) = incoming.lock().unwrap().try_recv() {
                drop(reply.send(shown.clone()));
            }
        }),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut unread = Vec::new();
        for _ in 0..100 {
            unread.push(answer(&engine, &Arc::default(), &HeaderMap::new()).await.unwrap());
        }
        assert_eq!(Arc::strong_count(&board), 102);
        let text = axum::body::to_bytes(unread.remove(7).into_body(), usize::MAX).await.unwrap();
        let document = parse(std::str::from_utf8(&text).unwrap(), Form::Prometheus).unwrap();
        assert_eq!(document["sandhog_child_bytes_total"].1[1].value, 9.0);
    });
}

#[test]
fn the_sockets_serve_them_to_observers() {
    let fake = Fake::new();
    let answer = fake.get(Role::Observe, "GET", "/metrics");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &header::HeaderValue::from_static(Form::Prometheus.media()))
    );
    parse(std::str::from_utf8(answer.body()).unwrap(), Form::Prometheus).unwrap();
    assert_eq!(fake.get(Role::None, "GET", "/metrics").status().as_u16(), 403);
}

/// The samples that there are, with the values of their labels.
fn known() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let (text, _) = whole(&scrape(connections()), Form::Prometheus);
    let mut known = BTreeMap::<_, BTreeMap<_, BTreeSet<_>>>::new();
    for sample in parse(&text, Form::Prometheus).unwrap().into_values().flat_map(|(_, samples)| samples) {
        let labels = known.entry(sample.name).or_default();
        for (label, value) in sample.labels {
            labels.entry(label).or_default().insert(value);
        }
    }
    known
}

fn is_ours(word: &str) -> bool {
    word.starts_with("sandhog_") || word.starts_with("process_")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// What the matchers, groupings and legend of a query need and no sample of ours has.
fn strangers(query: &str, shown: &str) -> Vec<String> {
    /// What Prometheus itself adds.
    const TARGET: [&str; 2] = ["instance", "job"];
    /// Labels whose values are not all in every scrape.
    const OPEN: [&str; 3] = ["connection", "code", "phase"];
    let (known, mut wrong, mut labels) = (known(), Vec::new(), BTreeSet::from(TARGET.map(str::to_owned)));
    for metric in words(query).filter(|word| is_ours(word)).collect::<BTreeSet<_>>() {
        let Some(of) = known.get(metric) else {
            wrong.push(metric.to_owned());
            continue;
        };
        labels.extend(of.keys().cloned());
        for matchers in query.split(metric).skip(1).filter_map(|rest| rest.strip_prefix('{')?.split_once('}')) {
            for (label, value) in matchers.0.split("\",").filter_map(|matcher| matcher.split_once('"')) {
                let label = label.trim().trim_end_matches(['=', '!', '~']);
                let values = value.trim_end_matches('"');
                let open = TARGET.contains(&label) || OPEN.contains(&label);
                let is_known = |value: &str| of.get(label).is_some_and(|values| values.contains(value));
                if !of.contains_key(label) && !TARGET.contains(&label) {
                    wrong.push(format!("{metric}{{{label}}}"));
                } else if !open && !values.split('|').all(is_known) {
                    wrong.push(format!("{metric}{{{label}={values}}}"));
                }
            }
        }
    }
    let grouped = ["by (", "on (", "by(", "on("].iter().flat_map(|word| query.split(word).skip(1));
    let grouped = grouped.filter_map(|rest| rest.split_once(')')).flat_map(|(inside, _)| words(inside));
    let shown = shown.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(inside, _)| inside.trim());
    let shown = shown.filter_map(|inside| match inside.strip_prefix('$') {
        Some(inside) => inside.strip_prefix("labels."),
        None => Some(inside),
    });
    wrong.extend(grouped.chain(shown).filter(|label| !labels.contains(*label)).map(str::to_owned));
    wrong
}

fn file(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn what_a_query_asks_for_in_vain_is_seen() {
    let query = r#"sum by (child, peer) (sandhog_child_bytes_total{instance="i",way="in"}) / sandhog_none"#;
    assert_eq!(
        strangers(query, "{{child}} {{kind}} {{ $labels.code }} {{ $value | humanize }}"),
        ["sandhog_child_bytes_total{way}", "sandhog_none", "peer", "kind", "code"]
    );
    let query = r#"sandhog_drops_total{worker=~"0|9",reason!~"no_sa|no_reason"}"#;
    assert_eq!(
        strangers(query, ""),
        ["sandhog_drops_total{worker=0|9}", "sandhog_drops_total{reason=no_sa|no_reason}"]
    );
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: serde_json::Value = serde_json::from_str(&file("deploy/grafana/sandhog.json")).unwrap();
    let mut queries = Vec::new();
    fn collect(value: &serde_json::Value, queries: &mut Vec<(String, String)>) {
        match value {
            serde_json::Value::Object(map) => {
                let text = |key: &str| map.get(key).and_then(serde_json::Value::as_str);
                let query = ["expr", "query", "definition"].into_iter().find_map(text);
                queries.extend(query.map(|query| (query.into(), text("legendFormat").unwrap_or_default().into())));
                map.values().for_each(|value| collect(value, queries));
            }
            serde_json::Value::Array(list) => list.iter().for_each(|value| collect(value, queries)),
            _ => {}
        }
    }
    collect(&dashboard, &mut queries);
    let wrong: Vec<_> = queries.iter().flat_map(|(query, legend)| strangers(query, legend)).collect();
    assert!(wrong.is_empty(), "the dashboard asks for {wrong:?}");
    let asked: BTreeSet<&str> =
        queries.iter().flat_map(|(query, _)| words(query)).filter(|word| is_ours(word)).collect();
    assert!(asked.len() > 30, "{asked:?}");
    assert!(dashboard["panels"].as_array().unwrap().len() > 20);
}

#[test]
fn the_alerts_ask_for_what_there_is() {
    let rules = file("deploy/prometheus/rules.yml");
    let alerts: Vec<&str> = rules.split("- alert:").skip(1).collect();
    for alert in &alerts {
        let query = alert.lines().find_map(|line| line.trim().strip_prefix("expr:")).expect("in one line");
        assert_eq!(strangers(query, alert), Vec::<String>::new(), "{alert}");
    }
    assert!(alerts.len() >= 8);
}
