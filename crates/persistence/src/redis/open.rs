//! Opens a run.

use awaitly_core::journal::{Header, Opening, Timestamp, admit};
use awaitly_core::store::{Lease, Open, Opened, StoreError};
use redis::{Cmd, ToRedisArgs};

use super::fields::{self, Fields, Known};
use super::op::{Caller, Kind, Op, To};
use super::reply::Reply;
use super::scripts::Script;
use super::{RedisStore, lasting, nonces};

impl RedisStore {
    /// Begins the run if it does not exist. If it exists, [`admit`] decides on the state that was read, and a script
    /// takes the lease if that state is unchanged; otherwise, the decision is repeated with the new state.
    pub(super) async fn open_run(&self, request: &Open) -> Result<Opened, StoreError> {
        let number = self.0.nonces.next();
        let holder = nonces::text(number);
        let mut known: Option<Known> = None;
        loop {
            let call = match (&known, request.must_exist) {
                (Some(known), _) => self.take(request, &holder, &known.seen),
                (None, false) => self.begin(request, &holder),
                // No run has this state, so the script only reports the current one.
                (None, true) => self.take(request, &holder, &["?"; 6]),
            };
            let mut reply = self.ask_for(request, call, &holder).await?;
            let word = reply.text("reply")?;
            if word == "held" {
                return held(request, number, reply).inspect_err(|_| {
                    self.0.ops.send(Op::release(self.give_back(request, &holder)));
                });
            }
            if word == "torn" {
                return Err(super::error::torn(&request.run));
            }
            let now = Timestamp::from_millis(reply.number("now")?);
            known = Known::read(&mut Fields::summary(&request.run, reply.list("summary")?)?)?;
            match &known {
                Some(known) => match admit(request, Some((&known.header, known.lease(now)))) {
                    Opening::Refuse(refused) => return Ok(Opened::Refused(refused)),
                    Opening::Ended => return Ok(Opened::Ended(known.header.clone())),
                    Opening::Take | Opening::Begin => {}
                },
                // The run was deleted in between, or never existed.
                None if word == "changed" => {
                    if let Opening::Refuse(refused) = admit(request, None) {
                        return Ok(Opened::Refused(refused));
                    }
                }
                None => return Err(reply.corrupt("workflow")),
            }
        }
    }

    async fn ask_for<'a>(&self, request: &'a Open, call: Cmd, holder: &str) -> Result<Reply<'a>, StoreError> {
        let (release, back) = (self.give_back(request, holder), self.0.ops.clone());
        let leased = self.0.ops.ask(|fate| {
            let caller = Caller::Lease { fate, release, back };
            Op { call, to: To::One, kind: Kind::Plain, caller }
        });
        Reply::of(&request.run, leased.await?.claim())
    }

    fn begin(&self, request: &Open, holder: &str) -> Cmd {
        let header = Header::begin(request, Timestamp::default());
        let mut call = self.call(Script::Begin, &request.run);
        call.arg(&*request.run).arg(holder).arg(lasting(request.ttl));
        call.arg(&*header.workflow).arg("version").arg(header.version);
        call.arg("status").arg(header.status.as_str()).arg("owner").arg(request.owner.as_str());
        if let Some(input) = &request.input {
            call.arg("fingerprint").arg(input.fingerprint.to_bits()).arg("input").arg(input.payload.as_str());
        }
        call
    }

    fn take(&self, request: &Open, holder: &str, seen: &[impl ToRedisArgs; 6]) -> Cmd {
        let mut call = self.call(Script::Take, &request.run);
        call.arg(&*request.run).arg(holder).arg(lasting(request.ttl)).arg(seen).arg(request.owner.as_str());
        call
    }

    /// Returns the call that releases the lease before its token is known.
    fn give_back(&self, request: &Open, holder: &str) -> Cmd {
        let mut call = self.call(Script::Release, &request.run);
        call.arg("").arg(holder).arg(&*request.run);
        call
    }
}

fn held(request: &Open, number: u64, mut reply: Reply<'_>) -> Result<Opened, StoreError> {
    let (now, token, run) = fields::journal(&request.run, &mut reply)?;
    let lease = Lease::new(request.run.clone(), token, number.cast_signed());
    Ok(Opened::Held { lease, now, run })
}
