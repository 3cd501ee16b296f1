//! What `top` shows and what its keys do, without a terminal.
use crate::cli::output::{octets, plain};
use crate::cli::status;
use crate::control::types::{Child, ChildState, Connection, ConnectionState, Status};
use ratatui::Frame;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row as Line2, Table, TableState};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

const TITLES: [&str; 8] = ["CONNECTION", "STATE", "CHILDREN", "IN/s", "OUT/s", "DROPS", "RTT ms", "LAST FAILURE"];
/// What the columns take; names and failures as much as is left, and at least what [`View::columns`] says.
const WIDTHS: [u16; 8] = [0, 10, 8, 10, 10, 9, 8, 0];
/// What is left out first where the terminal is narrow, after what says nothing at present.
const LEFT_OUT: [usize; 6] = [6, 2, 5, 4, 3, 7];
/// Lines that PageUp and PageDown go.
const PAGE: usize = 20;

/// What a key asks of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Stay,
    Quit,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    name: String,
    state: ConnectionState,
    up: usize,
    children: usize,
    /// Octets per second; nothing is known at the first look.
    rates: Option<(f64, f64)>,
    drops: u64,
    rtt: Option<f64>,
    failure: String,
}

/// All that there is to see.
#[derive(Debug)]
pub(super) struct View {
    color: bool,
    status: Status,
    rows: Vec<Row>,
    /// Octets of each connection at the last look.
    counters: HashMap<String, (u64, u64)>,
    looked: Option<Duration>,
    /// Why the last look failed.
    trouble: Option<String>,
    sort: usize,
    reverse: bool,
    filter: String,
    typing: bool,
    table: TableState,
    /// The columns that there was room for.
    columns: Vec<usize>,
    /// One connection, and how far down.
    detail: Option<(String, u16)>,
}

impl View {
    pub(super) fn new(color: bool) -> Self {
        Self {
            color,
            status: Status::default(),
            rows: Vec::new(),
            counters: HashMap::new(),
            looked: None,
            trouble: None,
            sort: 0,
            reverse: false,
            filter: String::new(),
            typing: false,
            table: TableState::default().with_selected(0),
            columns: (0..TITLES.len()).collect(),
            detail: None,
        }
    }

    /// Takes in what the daemon says.
    pub(super) fn look(&mut self, now: Duration, look: Result<Status, String>) {
        let status = match look {
            Ok(status) => status,
            Err(trouble) => return self.trouble = Some(trouble),
        };
        self.trouble = None;
        let elapsed = self.looked.map(|at| now.saturating_sub(at).as_secs_f64()).filter(|elapsed| *elapsed > 0.0);
        let mut counters = HashMap::new();
        self.rows = status
            .connections
            .iter()
            .map(|connection| {
                let sum = |of: fn(&Child) -> u64| connection.children.iter().map(of).sum::<u64>();
                let now = (sum(|child| child.bytes_in), sum(|child| child.bytes_out));
                let before = self.counters.get(&connection.name);
                // Counters of a daemon that was started anew begin again.
                let rate = |now: u64, before: u64, elapsed: f64| now.saturating_sub(before) as f64 / elapsed;
                let rates =
                    before.zip(elapsed).map(|(b, elapsed)| (rate(now.0, b.0, elapsed), rate(now.1, b.1, elapsed)));
                counters.insert(connection.name.clone(), now);
                row(connection, rates)
            })
            .collect();
        (self.status, self.counters, self.looked) = (status, counters, Some(now));
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: KeyCode) -> Action {
        if self.typing {
            self.type_filter(key);
            return Action::Stay;
        }
        if let Some((_, line)) = &mut self.detail {
            match key {
                KeyCode::Up | KeyCode::Char('k') => *line = line.saturating_sub(1),
                KeyCode::Down | KeyCode::Char('j') => *line = line.saturating_add(1),
                KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace => self.detail = None,
                KeyCode::Char('q') => return Action::Quit,
                _ => {}
            }
            return Action::Stay;
        }
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Left => self.sort = self.neighbour(self.columns.len() - 1),
            KeyCode::Right => self.sort = self.neighbour(1),
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Enter => {
                let name = self.table.selected().and_then(|at| Some(self.shown().get(at)?.name.clone()));
                self.detail = name.map(|name| (name, 0));
            }
            _ => self.walk(key),
        }
        Action::Stay
    }

    /// The column so many to the right of the one that sorts, of those that are shown.
    fn neighbour(&self, steps: usize) -> usize {
        let at = self.columns.iter().position(|column| *column == self.sort).unwrap_or(0);
        self.columns[(at + steps) % self.columns.len()]
    }

    fn walk(&mut self, key: KeyCode) {
        let at = self.table.selected().unwrap_or(0);
        let to = match key {
            KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => at + 1,
            KeyCode::PageUp => at.saturating_sub(PAGE),
            KeyCode::PageDown => at + PAGE,
            KeyCode::Home => 0,
            KeyCode::End => usize::MAX,
            _ => at,
        };
        self.table.select(Some(to.min(self.shown().len().saturating_sub(1))));
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(c) => self.filter.push(c),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.typing = false;
            }
            _ => {}
        }
        self.table.select(Some(0));
    }

    /// The rows that the filter leaves, in their order: large numbers and what is not well first.
    fn shown(&self) -> Vec<&Row> {
        let wanted = |row: &&Row| row.name.contains(&self.filter) || row.failure.contains(&self.filter);
        let mut rows: Vec<_> = self.rows.iter().filter(wanted).collect();
        let number = |a: f64, b: f64| b.total_cmp(&a);
        let rates = |row: &Row| row.rates.unwrap_or_default();
        rows.sort_by(|a, b| {
            let order = match self.sort {
                1 => badness(a.state).cmp(&badness(b.state)),
                2 => a.up.cmp(&b.up),
                3 => number(rates(a).0, rates(b).0),
                4 => number(rates(a).1, rates(b).1),
                5 => b.drops.cmp(&a.drops),
                6 => number(a.rtt.unwrap_or(-1.0), b.rtt.unwrap_or(-1.0)),
                7 => b.failure.cmp(&a.failure),
                _ => Ordering::Equal,
            };
            let order = order.then_with(|| a.name.cmp(&b.name));
            if self.reverse { order.reverse() } else { order }
        });
        rows
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)]).areas(frame.area());
        frame.render_widget(self.head(), head);
        match self.detail.clone() {
            Some((name, line)) => self.detail = Some((name.clone(), self.draw_detail(frame, body, &name, line))),
            None => self.draw_table(frame, body),
        }
        let foot_text = match (&self.detail, self.typing) {
            (Some(_), _) => "Esc back   arrows scroll   q quit".to_owned(),
            (_, true) => format!("/{}_   Enter keep   Esc clear", self.filter),
            _ => "q quit   arrows move, sort by column   r reverse   / filter   Enter details".to_owned(),
        };
        frame.render_widget(Line::from(foot_text), foot);
    }

    fn head(&self) -> Line<'static> {
        let up = self.rows.iter().filter(|row| row.state == ConnectionState::Up).count();
        let filter = if self.filter.is_empty() { String::new() } else { format!("   filter {:?}", self.filter) };
        match &self.trouble {
            Some(trouble) => Line::styled(plain(trouble), self.paint(Color::Red)),
            None => Line::from(format!("{up} of {} connections are up{filter}", self.rows.len())),
        }
    }

    fn draw_table(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let (columns, widths) = self.columns(area.width);
        let shown = self.shown();
        let lines: Vec<_> = shown.iter().map(|row| self.line(row, &columns)).collect();
        let arrow = if self.reverse { '^' } else { 'v' };
        let title = |i: &usize| if *i == self.sort { format!("{}{arrow}", TITLES[*i]) } else { TITLES[*i].to_owned() };
        let titles = Line2::new(columns.iter().map(title)).style(Style::new().bold());
        let table = Table::new(lines, widths).header(titles).row_highlight_style(Style::new().reversed());
        self.columns = columns;
        frame.render_stateful_widget(table, area, &mut self.table);
    }

    /// The columns that there is room for, and their widths. The name and the state are always there, and so is what sorts.
    fn columns(&self, width: u16) -> (Vec<usize>, Vec<Constraint>) {
        let longest = |of: fn(&Row) -> &str| self.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (name, failure) = (longest(|row| &row.name), longest(|row| &row.failure));
        let least = |column: usize| match column {
            0 => name.clamp(TITLES[0].len() + 1, 20),
            7 => failure.clamp(TITLES[7].len() + 1, 20),
            _ => WIDTHS[column].into(),
        };
        let says = |column: &usize| match column {
            6 => self.rows.iter().any(|row| row.rtt.is_some()),
            7 => failure > 0,
            _ => true,
        };
        let silent = LEFT_OUT.iter().filter(|column| !says(column)).rev();
        let mut columns: Vec<usize> = (0..TITLES.len()).collect();
        for out in silent.chain(LEFT_OUT.iter().filter(|column| says(column))) {
            let wanted = columns.iter().map(|column| least(*column) + 1).sum::<usize>() - 1;
            if wanted <= usize::from(width) {
                break;
            }
            columns.retain(|column| column != out || *column == self.sort);
        }
        let constraint = |column: &usize| match WIDTHS[*column] {
            0 => Constraint::Min(u16::try_from(least(*column)).unwrap_or(u16::MAX)),
            fixed => Constraint::Length(fixed),
        };
        let widths = columns.iter().map(constraint).collect();
        (columns, widths)
    }

    fn line(&self, row: &Row, columns: &[usize]) -> Line2<'static> {
        let rate = |rate: Option<f64>| rate.map_or_else(String::new, |rate| octets(rate as u64));
        let color = match row.state {
            ConnectionState::Up => Color::Green,
            ConnectionState::Connecting | ConnectionState::Closing => Color::Yellow,
            ConnectionState::Down | ConnectionState::Failed => Color::Red,
        };
        let cells = [
            Line::from(row.name.clone()),
            Line::styled(row.state.name(), self.paint(color)),
            Line::from(format!("{}/{}", row.up, row.children)),
            Line::from(rate(row.rates.map(|rates| rates.0))),
            Line::from(rate(row.rates.map(|rates| rates.1))),
            Line::from(row.drops.to_string()),
            Line::from(row.rtt.map_or_else(String::new, |rtt| format!("{rtt:.1}"))),
            Line::from(row.failure.clone()),
        ];
        Line2::new(cells.into_iter().enumerate().filter(|(i, _)| columns.contains(i)).map(|(_, cell)| cell))
    }

    /// How far down it is: never farther than its end.
    fn draw_detail(&self, frame: &mut Frame<'_>, area: Rect, name: &str, line: u16) -> u16 {
        let found = self.status.connections.iter().find(|connection| connection.name == name);
        let text = match found {
            Some(connection) => status::detail(connection, area.width.into()),
            None => format!("{} is not configured any more", plain(name)),
        };
        let lines: Vec<_> = text.lines().flat_map(|line| folded(line, area.width.into())).map(Line::from).collect();
        let last = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(area.height);
        frame.render_widget(Paragraph::new(lines).scroll((line.min(last), 0)), area);
        line.min(last)
    }

    fn paint(&self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }
}

/// A line in pieces that fit, none of which is empty unless the line is.
fn folded(line: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    if chars.is_empty() {
        return vec![String::new()];
    }
    chars.chunks(width.max(1)).map(|piece| piece.iter().collect()).collect()
}

fn row(connection: &Connection, rates: Option<(f64, f64)>) -> Row {
    let children = &connection.children;
    let carries = |child: &&Child| matches!(child.state, ChildState::Up | ChildState::Rekeying);
    let rtt = children.iter().filter_map(|child| child.monitor.as_ref()?.rtt_ms);
    Row {
        name: plain(&connection.name),
        state: connection.state,
        up: children.iter().filter(carries).count(),
        children: children.len(),
        rates,
        // A dummy is no loss.
        drops: children.iter().flat_map(|child| &child.drops).filter(|(why, _)| *why != "dummy").map(|(_, n)| n).sum(),
        rtt: rtt.max_by(f64::total_cmp),
        failure: connection.last_failure.as_ref().map_or_else(String::new, |failure| plain(&failure.code)),
    }
}

fn badness(state: ConnectionState) -> u8 {
    match state {
        ConnectionState::Failed => 0,
        ConnectionState::Down => 1,
        ConnectionState::Connecting => 2,
        ConnectionState::Closing => 3,
        ConnectionState::Up => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn status(octets: u64) -> Status {
        let child = |bytes: u64, rtt: Option<f64>| {
            let monitor = rtt.map(|rtt| serde_json::json!({ "target": "10.2.0.1", "source": null, "state": "passing", "since": "", "rtt_ms": rtt,
                "rtt_last_ms": rtt, "rtt_min_ms": rtt, "rtt_max_ms": rtt, "loss_percent": 0.0, "sent": 1, "received": 1 }));
            serde_json::json!({ "name": "lan", "mode": "tunnel", "state": "up", "local_ts": [], "remote_ts": [], "bytes_in": bytes, "bytes_out": 0,
                "packets_in": 0, "packets_out": 0, "drops": { "replayed": 3, "dummy": 9 }, "sas": [], "monitor": monitor })
        };
        let failure = serde_json::json!({ "time": "", "phase": "ike_auth", "code": "auth.failed", "certainty": "proven", "candidates": [], "local": {},
            "peer": {}, "differing": [], "notify": null, "explain": { "en": "It refused.", "zh": "" }, "fix": [],
            "names": { "aliyun": "", "tencent": "" } });
        serde_json::from_value(serde_json::json!({ "connections": [
            { "name": "alpha\u{1b}[2J", "state": "up", "children": [child(octets, Some(1.25))], "sas": [], "peers": [], "warnings": [] },
            { "name": "beta", "state": "failed", "children": [child(0, None)], "sas": [], "peers": [], "warnings": [], "last_failure": failure } ] }))
        .unwrap()
    }

    fn screen(view: &mut View) -> String {
        sized(view, 100, 12)
    }

    fn sized(view: &mut View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    fn view() -> View {
        let mut view = View::new(true);
        view.look(Duration::from_secs(10), Ok(status(1000)));
        view.look(Duration::from_secs(12), Ok(status(1000 + 4096)));
        view
    }

    fn before(text: &str, first: &str, second: &str) -> bool {
        text.find(first).unwrap() < text.find(second).unwrap()
    }

    #[test]
    fn rates_drops_and_failures_are_on_the_screen() {
        let text = screen(&mut view());
        for part in ["1 of 2 connections are up", "alpha\\u{1b}[2J", "2.0 KiB", "1/1", "1.2", "auth.failed", "q quit"] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        assert!(text.contains(" 3 ") && !text.contains("12 "), "a dummy is no drop\n{text}");
    }

    #[test]
    fn columns_sort_and_reverse() {
        let mut view = view();
        assert!(before(&screen(&mut view), "alpha", "beta"));
        view.key(KeyCode::Right);
        assert!(before(&screen(&mut view), "beta", "alpha"), "what has failed comes first");
        view.key(KeyCode::Char('r'));
        assert!(before(&screen(&mut view), "alpha", "beta"));
        view.key(KeyCode::Left);
        view.key(KeyCode::Left);
        assert_eq!(view.sort, TITLES.len() - 1);
    }

    #[test]
    fn narrow_terminals_leave_out_columns_and_never_the_name() {
        let mut view = view();
        let titles = |view: &mut View, width| sized(view, width, 8).lines().nth(1).unwrap().to_owned();
        assert!(TITLES.iter().all(|title| titles(&mut view, 100).contains(title)));
        let text = titles(&mut view, 80);
        assert!(text.contains("CONNECTIONv") && text.contains("LAST FAILURE") && !text.contains("RTT"), "{text}");
        let text = sized(&mut view, 40, 10);
        assert!(text.contains("alpha") && text.contains("failed") && text.contains("auth.failed"), "{text}");
        assert_eq!(view.columns, [0, 1, 7]);
        for wanted in [1, 7, 0, 1] {
            view.key(KeyCode::Right);
            assert_eq!(view.sort, wanted, "what is not shown does not sort");
        }
        view.rows.retain(|row| row.failure.is_empty());
        titles(&mut view, 40);
        assert_eq!(view.columns, [0, 1, 3], "without failures there is room for a rate");
        for width in 1..120 {
            for height in 1..6 {
                sized(&mut view, width, height);
            }
        }
    }

    #[test]
    fn details_are_folded_and_end_where_they_end() {
        let mut view = view();
        view.key(KeyCode::End);
        view.key(KeyCode::Enter);
        let height = |width| folded_height(&mut self::view(), width);
        assert!(height(30) > height(100));
        for _ in 0..1000 {
            view.key(KeyCode::Down);
        }
        let end = sized(&mut view, 30, 6);
        view.key(KeyCode::Up);
        assert_ne!(sized(&mut view, 30, 6), end, "one step back is one step");
        assert_eq!(folded("", 3), [""]);
        assert_eq!(folded("abcd", 3), ["abc", "d"]);
        assert_eq!(folded("ab", 0), ["a", "b"]);
    }

    /// Lines of the details of the second connection.
    fn folded_height(view: &mut View, width: u16) -> usize {
        view.key(KeyCode::End);
        view.key(KeyCode::Enter);
        let screen = sized(view, width, 60);
        screen.lines().filter(|line| !line.trim_matches(['"', ' ']).is_empty()).count()
    }

    #[test]
    fn a_filter_leaves_what_it_names() {
        let mut view = view();
        for key in ['/', 'b', 'q', 'e'] {
            assert_eq!(view.key(KeyCode::Char(key)), Action::Stay, "a letter of the filter ends nothing");
        }
        assert_eq!(view.filter, "bqe");
        view.key(KeyCode::Backspace);
        view.key(KeyCode::Backspace);
        view.key(KeyCode::Char('e'));
        view.key(KeyCode::Enter);
        let text = screen(&mut view);
        assert!(text.contains("beta") && !text.contains("alpha"), "{text}");
    }

    #[test]
    fn enter_shows_one_connection_and_q_ends() {
        let mut view = view();
        view.key(KeyCode::Down);
        view.key(KeyCode::Down);
        view.key(KeyCode::Enter);
        let text = screen(&mut view);
        assert!(text.contains("It refused.") && !text.contains("alpha"), "{text}");
        view.key(KeyCode::Char('j'));
        assert_eq!(view.key(KeyCode::Esc), Action::Stay);
        assert!(screen(&mut view).contains("alpha"));
        assert_eq!(view.key(KeyCode::Char('q')), Action::Quit);
    }

    #[test]
    fn a_daemon_that_is_gone_is_told_and_the_last_look_stays() {
        let mut view = view();
        view.look(Duration::from_secs(13), Err("cannot reach the daemon".into()));
        let text = screen(&mut view);
        assert!(text.contains("cannot reach the daemon") && text.contains("alpha"), "{text}");
        view.look(Duration::from_secs(14), Ok(Status::default()));
        assert_eq!(view.key(KeyCode::Enter), Action::Stay);
        assert!(screen(&mut view).contains("0 of 0"));
    }
}
