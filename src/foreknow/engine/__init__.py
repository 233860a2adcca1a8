"""The engine: durable jobs, one subprocess each, over one workspace.

    job, spec      what is asked, and where it stands
    queue          the durable table of jobs; every change of state is one statement
    executor       starts, watches and stops workers
    worker         the subprocess: runs one job, writes its result
    scheduler      claims, looks after, settles
    engine         the front: operations of plain values that the HTTP service and the client share

A job ends COMPLETED, FAILED with its reason, or CANCELED, whatever is killed on the way. The pieces of that promise:
a claim is one SQL statement; a worker holds a lock on its job's folder and leaves at once if the job is another
attempt's by now; the result is a file written whole or not at all; what a worker did before it was lost is found again
(a checkpoint, a finished run, a prediction table with the job's own time stamp) rather than done twice.
"""
