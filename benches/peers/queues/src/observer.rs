//! The look at the rival's tables, from outside.

use std::marker::PhantomData;
use std::time::Duration;

use anyhow::Result;
use sqlx::{Connection, PgConnection};

use crate::peer::Session;

/// A connection of its own that looks for jobs whose completion is not recorded.
pub struct Observer<S> {
    connection: PgConnection,
    session: PhantomData<S>,
}

impl<S: Session> Observer<S> {
    pub async fn connect(url: &str) -> Result<Self> {
        Ok(Self { connection: PgConnection::connect(url).await?, session: PhantomData })
    }

    pub async fn unfinished(&mut self) -> Result<i64> {
        Ok(sqlx::query_scalar(S::UNFINISHED).fetch_one(&mut self.connection).await?)
    }

    pub async fn until_finished(&mut self) -> Result<()> {
        while self.unfinished().await? > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}
