"""The catalogue's tables."""

from connections.models.api_keys import APIKey
from connections.models.connections import Connection
from connections.models.events import Event, EventSeal
from connections.models.secrets import ConnectionSecrets, Slot
from connections.models.status import StatusCheck
from connections.models.tenancy import Membership, Organisation, OrganisationKey, Role

__all__ = [
    "APIKey",
    "Connection",
    "ConnectionSecrets",
    "Event",
    "EventSeal",
    "Membership",
    "Organisation",
    "OrganisationKey",
    "Role",
    "Slot",
    "StatusCheck",
]
