//! The two text forms: Prometheus 0.0.4 and OpenMetrics 1.0.
use super::histogram::Reading;
use std::fmt::Write;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Prometheus, `text/plain; version=0.0.4`.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}
impl Form {
    /// What a client that says this in `Accept` gets.
    pub fn of(accept: &str) -> Self {
        let wants = |part: &str| {
            let mut words = part.split(';').map(str::trim);
            words.next() == Some("application/openmetrics-text") && !words.any(|word| word == "q=0")
        };
        if accept.split(',').any(|part| wants(part.trim())) { Self::OpenMetrics } else { Self::Prometheus }
    }
    /// The media type.
    pub const fn media(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
    /// What stands at the very end.
    pub fn end(self) -> &'static str {
        match self {
            Self::Prometheus => "",
            Self::OpenMetrics => "# EOF\n",
        }
    }
}

/// What the samples of a family mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up; its samples end with `_total`.
    Counter,
    /// Buckets, sum and count.
    Histogram,
    /// 1, and what there is to know in the labels; ends with `_info`.
    Info,
}

/// A family of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name, without `_total` or `_info`.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// One line about it.
    pub help: &'static str,
}
impl Family {
    /// What its samples are called, or begin with.
    pub fn sample(&self) -> String {
        format!("{}{}", self.name, self.suffix())
    }
    fn suffix(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        }
    }
    /// The lines before the first sample.
    pub fn head(&self, form: Form, out: &mut String) {
        let (name, kind) = match (form, self.kind) {
            (Form::OpenMetrics, Kind::Info) => (self.name.to_owned(), "info"),
            (Form::Prometheus, Kind::Info) => (self.sample(), "gauge"),
            (Form::OpenMetrics, Kind::Counter) => (self.name.to_owned(), "counter"),
            (Form::Prometheus, Kind::Counter) => (self.sample(), "counter"),
            (_, Kind::Gauge) => (self.name.to_owned(), "gauge"),
            (_, Kind::Histogram) => (self.name.to_owned(), "histogram"),
        };
        let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", self.help);
    }
}

/// Writes the samples of one family.
pub struct Samples<'o> {
    /// Which.
    pub family: &'static Family,
    /// Where to.
    pub out: &'o mut String,
}
impl Samples<'_> {
    /// One sample.
    pub fn put(&mut self, labels: &[(&str, &str)], value: impl Into<Number>) {
        self.line(self.family.suffix(), labels, value.into());
    }
    /// One histogram.
    pub fn histogram(&mut self, reading: &Reading) {
        for (bound, count) in &reading.buckets {
            self.line("_bucket", &[("le", &float(*bound))], Number::Whole(*count));
        }
        self.line("_bucket", &[("le", "+Inf")], Number::Whole(reading.count));
        self.line("_sum", &[], Number::Real(reading.sum));
        self.line("_count", &[], Number::Whole(reading.count));
    }
    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: Number) {
        self.out.push_str(self.family.name);
        self.out.push_str(suffix);
        for (n, (name, text)) in labels.iter().enumerate() {
            self.out.push(if n == 0 { '{' } else { ',' });
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(text, self.out);
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = match value {
            Number::Whole(n) => writeln!(self.out, " {n}"),
            Number::Real(n) => writeln!(self.out, " {}", float(n)),
        };
    }
}

/// A value.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Number {
    Whole(u64),
    Real(f64),
}
impl From<u64> for Number {
    fn from(n: u64) -> Self {
        Self::Whole(n)
    }
}
impl From<bool> for Number {
    fn from(yes: bool) -> Self {
        Self::Whole(yes.into())
    }
}
impl From<f64> for Number {
    fn from(n: f64) -> Self {
        Self::Real(n)
    }
}

/// OpenMetrics wants bounds such as `1.0`.
fn float(n: f64) -> String {
    match n {
        n if n.is_nan() => "NaN".into(),
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        n => format!("{n:?}"),
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Form::of(prometheus), Form::OpenMetrics);
        assert_eq!(Form::of("text/plain"), Form::Prometheus);
        assert_eq!(Form::of("*/*"), Form::Prometheus);
        assert_eq!(Form::of("application/openmetrics-text; q=0"), Form::Prometheus);
        assert_eq!(Form::of(""), Form::Prometheus);
    }

    #[test]
    fn values_are_those_of_the_formats() {
        assert_eq!([0.005, 1.0, 1e21, f64::INFINITY, f64::NAN].map(float), ["0.005", "1.0", "1e21", "+Inf", "NaN"]);
        let mut out = String::new();
        escape("a\\b\"c\nd", &mut out);
        assert_eq!(out, r#"a\\b\"c\nd"#);
    }
}
