"""The leakage audit of a task; see `audit_task` and ``docs/audit.md``."""

from foreknow.task.audit.audit import Audit, audit_task
from foreknow.task.audit.names import FINDINGS, check_allowed

__all__ = ["FINDINGS", "Audit", "audit_task", "check_allowed"]
