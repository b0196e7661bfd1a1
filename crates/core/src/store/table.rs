/// The only list of the calls that a store answers: the name of each call, its method, its arguments and its answer.
/// `&name: Type;` is an argument that the method borrows. Passes the list to the macro `$make`, which generates code
/// from it.
macro_rules! calls {
    ($make:ident) => {
        $make! {
            Store {
                Open open(request: Open) -> Opened;
                Append append(&lease: Lease; record: Record, durability: Durability) -> ();
                Replace replace(&lease: Lease; record: Record, durability: Durability) -> ();
                Wait wait(&lease: Lease; wait: Wait) -> ();
                Settle settle(&lease: Lease; record: Record, settling: Settling) -> Option<Outcome>;
                Revive revive(&lease: Lease; drop: Vec<Key>) -> ();
                Rewrite rewrite(&lease: Lease; rewrite: Rewrite) -> ();
                Finish finish(&lease: Lease; ending: Ending) -> ();
                Restart restart(&lease: Lease; input: Option<Input>) -> ();
                Renew renew(&lease: Lease; ttl: Duration) -> Renewed;
                Load load(&run: RunId;) -> Option<StoredRun>;
            }
            Operate {
                List list(query: RunQuery) -> Page<RunSummary>;
                Waiting waiting(query: WaitQuery) -> Page<Waiting>;
                Due due(query: DueQuery) -> Vec<Due>;
                Answer answer(answer: Answer) -> Result<(), Unanswered>;
                Cancel cancel(&run: RunId;) -> Cancelled;
                CancelWithoutUndo cancel_without_undo(&run: RunId;) -> Cancelled;
                Delete delete(runs: Vec<RunId>, condition: DeleteIf) -> Vec<RunId>;
                Import import(run: RunId, stored: StoredRun) -> bool;
                Now now() -> Timestamp;
            }
            Dispatch {
                Submit submit(batch: Vec<Submit>) -> Vec<Result<Submitted, Refused>>;
                Claim claim(claim: Claim) -> Claimed;
                Headers headers(runs: Vec<RunId>) -> Vec<Option<Header>>;
                Standing standing(&run: RunId;) -> Option<Standing>;
                SendMail send(messages: Vec<Message>) -> Vec<Result<(), Unsent>>;
                Receive receive(&lease: Lease; mailbox: Arc<str>, key: Key) -> Option<Outcome>;
                Publish publish(&lease: Lease; published: Vec<Publish>) -> ();
                Published published(&run: RunId; name: Arc<str>) -> Option<Payload>;
                Stream stream(&run: RunId; stream: Arc<str>, from: u64, limit: usize) -> Option<StreamPart>;
                Schedules schedules(query: ScheduleQuery) -> Vec<StoredSchedule>;
                PutSchedules put_schedules(changes: Vec<PutSchedule>) -> Vec<bool>;
                Configure configure(queues: Vec<Queue>, configure: Configure) -> ();
                Queues queues() -> Vec<QueueState>;
                PauseQueues pause_queues(queues: Vec<Arc<str>>, pausing: Pausing) -> ();
                Pause pause(runs: Vec<RunId>, pausing: Pausing) -> Vec<RunId>;
                Reschedule reschedule(runs: Vec<RunId>, change: Reschedule) -> Vec<RunId>;
            }
        }
    };
}

pub(super) use calls;
