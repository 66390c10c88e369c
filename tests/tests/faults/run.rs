//! One run: a fresh cluster, a schedule, producers at work all the time, and the proof in the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio::runtime::Runtime;

use crate::book::Book;
use crate::deeds;
use crate::intake::client;
use crate::load::Load;
use crate::plan::{Step, Store, schedule};
use crate::proof::{all_is_there, service_is_back};
use crate::report::Report;
use crate::stage::Stage;

/// Runs so many faults by the schedule of a seed.
pub(crate) fn run(seed: u64, faults: usize, report: &mut Report) -> anyhow::Result<()> {
    let store = Store::of(seed);
    say(&format!("\nseed {seed}: {faults} faults, {store:?}"));
    let begun = Instant::now();
    let runtime = Runtime::new()?;
    let mut stage = Stage::set(store, runtime.handle()).context("nothing was wrong yet")?;
    let ready = begun.elapsed().as_secs_f32();
    say(&format!("{ready:6.1} s  all is ready"));
    let steps = schedule(seed, store, faults);
    let mut at_work = AtWork {
        runtime: &runtime,
        stage: &mut stage,
        book: Arc::new(Book::default()),
        begun,
        report,
    };
    let done = at_work.through(seed, &steps);
    let Err(error) = done else {
        return Ok(());
    };
    let kept = kept(seed);
    let lies = match stage.keep(&kept) {
        Ok(()) => format!("its logs lie in {}", kept.display()),
        Err(why) => format!("its logs in {} are not all: {why:#}", kept.display()),
    };
    Err(error.context(lies))
}

#[allow(clippy::print_stdout, reason = "a long run shows how far it is")]
fn say(words: &str) {
    println!("{words}");
}

/// Where the logs of a run that failed are kept.
fn kept(seed: u64) -> PathBuf {
    let unique = uuid::Uuid::now_v7().simple();
    std::env::temp_dir().join(format!("licenseflow-faults-{seed}-{unique}"))
}

struct AtWork<'a> {
    runtime: &'a Runtime,
    stage: &'a mut Stage,
    book: Arc<Book>,
    begun: Instant,
    report: &'a mut Report,
}

impl AtWork<'_> {
    fn say(&self, words: &str) {
        let time = self.begun.elapsed().as_secs_f32();
        say(&format!("{time:6.1} s  {words}"));
    }

    fn through(&mut self, seed: u64, steps: &[Step]) -> anyhow::Result<()> {
        let http = client();
        let ways = self.stage.ways();
        let load = Load::begin(self.runtime.handle(), seed, &ways, &self.book)?;
        self.back(&http).context("nothing was wrong yet")?;
        for step in steps {
            self.say(&step.to_string());
            self.suffer(step, &http).with_context(|| step.to_string())?;
        }
        self.runtime.block_on(load.end())?;
        let proof = all_is_there(self.stage, &http, &self.book);
        let proof = self.runtime.block_on(proof)?;
        self.say(&proof);
        self.stage.all_run()?;
        deeds::strike(self.stage)
    }

    fn suffer(&mut self, step: &Step, http: &reqwest::Client) -> anyhow::Result<()> {
        for deed in &step.0 {
            deeds::begin(self.stage, deed.what)?;
        }
        std::thread::sleep(step.lasts());
        let over = Instant::now();
        deeds::end_all(self.stage, &step.0)?;
        self.back(http)?;
        let after = over.elapsed();
        self.say(&format!("  back after {:.1} s", after.as_secs_f32()));
        self.report.add(step.kind(), after);
        self.stage.all_run()
    }

    fn back(&mut self, http: &reqwest::Client) -> anyhow::Result<()> {
        let back = service_is_back(self.stage, http, &self.book);
        let back = self.runtime.block_on(back);
        // Who ended by himself says more than who waits in vain for him.
        if back.is_err() {
            self.stage.all_run()?;
        }
        back
    }
}
