//! `trunkline doctor`: looks at everything a call needs, and says what to fix.

mod checks;
mod ground;

use serde::Serialize;

use crate::args::DoctorArgs;
use crate::exit::{Exit, Problem};
use crate::out::Out;
use crate::settings::{Settings, slips};
use checks::{CHECKS, Line, Verdict};
use ground::Ground;

pub(super) async fn run(args: DoctorArgs) -> Result<Exit, Problem> {
    let mut lines = match Settings::load(&args.settings, &|name| std::env::var_os(name)) {
        Ok(settings) => {
            let ground = Ground::survey(settings).await;
            CHECKS.iter().map(|check| check(&ground)).collect()
        }
        // Nothing else can be looked at without them.
        Err(problem) => vec![Line::failed("settings", &problem)],
    };
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    lines.extend(slips(variables).iter().map(|(slip, meant)| Line::slip(slip, meant)));
    let exit = worst(&lines);
    if args.json {
        Out::stdout().json(&Findings { ok: exit == Exit::Done, checks: &lines });
    } else {
        Out::stdout().text(&shown(&lines));
    }
    Ok(exit)
}

#[derive(Debug, Serialize)]
struct Findings<'a> {
    ok: bool,
    checks: &'a [Line],
}

/// A wrong setting comes before what it may have made unreachable.
fn worst(lines: &[Line]) -> Exit {
    let fails = |exit| lines.iter().any(|line| line.verdict == Verdict::Fail(exit));
    [Exit::Input, Exit::Unsent].into_iter().find(|exit| fails(*exit)).unwrap_or(Exit::Done)
}

/// One line per check, and one below it that says what to do.
fn shown(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.check.len()).max().unwrap_or(0);
    let text = |line: &Line| {
        let fix =
            line.fix.as_ref().map(|fix| format!("\n{:4}  {:width$}  fix: {fix}", "", "")).unwrap_or_default();
        format!("{:4}  {:width$}  {}{fix}", line.verdict.word(), line.check, line.says)
    };
    lines.iter().map(text).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verdict: Verdict) -> Line {
        Line { check: "x", verdict, says: String::new(), fix: None }
    }

    #[test]
    fn what_to_do_stands_below_the_check() {
        let mut lines = [line(Verdict::Ok), line(Verdict::Warn)];
        (lines[0].check, lines[0].says) = ("settings", "fine".to_owned());
        (lines[1].says, lines[1].fix) = ("slow".to_owned(), Some("wait".to_owned()));
        assert_eq!(shown(&lines), "ok    settings  fine\nwarn  x         slow\n                fix: wait");
    }

    #[test]
    fn the_exit_code_is_the_worst_line() {
        let (input, unsent) = (Verdict::Fail(Exit::Input), Verdict::Fail(Exit::Unsent));
        for (verdicts, exit) in [
            (vec![Verdict::Ok, Verdict::Warn, Verdict::Skip], Exit::Done),
            (vec![Verdict::Ok, unsent], Exit::Unsent),
            (vec![unsent, input], Exit::Input),
        ] {
            assert_eq!(worst(&verdicts.into_iter().map(line).collect::<Vec<_>>()), exit);
        }
    }
}
