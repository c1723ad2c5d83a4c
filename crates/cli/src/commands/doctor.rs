//! `trunkline doctor`: looks at everything a call needs, and says what to fix.

mod checks;
mod ground;

use serde::Serialize;

use crate::args::DoctorArgs;
use crate::exit::{Exit, Problem};
use crate::out::Out;
use crate::render::table;
use crate::settings::Settings;
use checks::{CHECKS, Line, Verdict};
use ground::Ground;

pub(super) async fn run(args: DoctorArgs) -> Result<Exit, Problem> {
    let lines = match Settings::load(&args.settings, &|name| std::env::var_os(name)) {
        Ok(settings) => {
            let ground = Ground::survey(settings).await;
            CHECKS.iter().map(|check| check(&ground)).collect()
        }
        // Nothing else can be looked at without them.
        Err(problem) => vec![Line::failed("settings", &problem)],
    };
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

fn shown(lines: &[Line]) -> String {
    let rows = lines.iter().map(|line| {
        let says = match &line.fix {
            Some(fix) => format!("{}\n  fix: {fix}", line.says),
            None => line.says.clone(),
        };
        vec![line.check.to_owned(), line.verdict.word().to_owned(), says]
    });
    table(&["check", "", "found"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verdict: Verdict) -> Line {
        Line { check: "x", verdict, says: String::new(), fix: None }
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
