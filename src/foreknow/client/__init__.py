"""The client: one protocol, two ways to speak it (in this process, over HTTP)."""

from foreknow.client.client import Client
from foreknow.client.job import Job

__all__ = ["Client", "Job"]
