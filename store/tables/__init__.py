"""The tables. What each holds is said where it is defined; queries live in the modules named after their subject.

Every table is imported here, so that the metadata which migrations are compared with is whole.
"""

from __future__ import annotations

from store.tables.assistants import Assistant, Retention, Route, Schedule
from store.tables.base import Base
from store.tables.channels import Channel, Comparison, Delivery, Message, Vote
from store.tables.connections import Account, ClientKey, ClientKeyScope, WebSession
from store.tables.people import Admission, Consent, ForgottenPerson, Person, RoleGiven, Speaker
from store.tables.sources import Import, Source, SourceAuthor, SourceMessage
from store.tables.versions import Job, Lineage, Promotion, RemovedAuthor, Version

__all__ = [
    "Account",
    "Admission",
    "Assistant",
    "Base",
    "Channel",
    "ClientKey",
    "ClientKeyScope",
    "Comparison",
    "Consent",
    "Delivery",
    "ForgottenPerson",
    "Import",
    "Job",
    "Lineage",
    "Message",
    "Person",
    "Promotion",
    "RemovedAuthor",
    "Retention",
    "RoleGiven",
    "Route",
    "Schedule",
    "Source",
    "SourceAuthor",
    "SourceMessage",
    "Speaker",
    "Version",
    "Vote",
    "WebSession",
]
