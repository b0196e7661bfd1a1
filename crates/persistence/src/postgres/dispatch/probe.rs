use awaitly_core::store::Served;
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row};

use crate::postgres::statements::Statements;
use crate::postgres::text;

/// The state of the store before a claim.
pub(super) struct Probe {
    pub(super) now: i64,
    /// The earliest time at which a claim must check a run.
    pub(super) due: Option<i64>,
    /// The earliest time at which the leases of a claim may expire.
    pub(super) lapse: Option<i64>,
    /// The lanes with due runs of the served workflows, without the lanes of paused queues.
    pub(super) lanes: Vec<Lane>,
    /// The earliest time of a schedule.
    pub(super) schedule: Option<i64>,
}

/// The due runs of one workflow in one queue, with names in their stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lane {
    /// Empty for a special queue in which all due runs are behind a limit.
    pub(super) workflow: String,
    /// The served version of the workflow.
    pub(super) version: i64,
    pub(super) queue: String,
    /// Whether a claim must lock the row of the queue.
    pub(super) is_special: bool,
}

impl Probe {
    pub(super) async fn new(
        connection: &mut PgConnection,
        statements: &Statements,
        served: &[Served],
    ) -> Result<Self, Error> {
        let (workflows, versions) = columns(served);
        let rows =
            statements.claiming.probe.query().bind(workflows).bind(versions).fetch_all(connection).await?;
        let mut lanes = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(queue) = row.try_get::<Option<String>, _>(5)? {
                let workflow = row.try_get::<Option<String>, _>(3)?.unwrap_or_default();
                lanes.push(Lane { workflow, version: row.try_get(4)?, queue, is_special: row.try_get(6)? });
            }
        }
        let first = rows.first().ok_or(Error::RowNotFound)?;
        Ok(Self {
            now: first.try_get(0)?,
            due: first.try_get(1)?,
            lapse: first.try_get(2)?,
            lanes,
            schedule: first.try_get(7)?,
        })
    }

    /// Returns the next time at which a run may become due.
    pub(super) fn next(&self) -> Option<i64> {
        [self.due, self.lapse].into_iter().flatten().min()
    }
}

/// Returns the columns of the served workflows.
pub(super) fn columns(served: &[Served]) -> (Vec<String>, Vec<i64>) {
    let names = served.iter().map(|served| text::stored(&served.workflow).into_owned());
    (names.collect(), served.iter().map(|served| i64::from(served.version)).collect())
}
