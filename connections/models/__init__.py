"""The catalogue's tables."""

from connections.models.api_keys import APIKey, APIKeyConnection
from connections.models.connections import Connection, ConnectionRevision, ConnectionUse
from connections.models.events import Event, EventSeal
from connections.models.ring_keys import RingKey
from connections.models.secrets import ConnectionSecrets, Slot
from connections.models.status import StatusCheck
from connections.models.tenancy import Membership, Organisation, OrganisationKey, Role

__all__ = [
    "APIKey",
    "APIKeyConnection",
    "Connection",
    "ConnectionRevision",
    "ConnectionSecrets",
    "ConnectionUse",
    "Event",
    "EventSeal",
    "Membership",
    "Organisation",
    "OrganisationKey",
    "RingKey",
    "Role",
    "Slot",
    "StatusCheck",
]
