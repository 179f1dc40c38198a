"""The REST API of API keys, for administrators: create, list and revoke them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateway.access.dependencies import Admin
from gateway.access.keys import KeyRequest, Keys, Scope
from gateway.access.service import Access
from gateway.http.json_body import json_only
from gateway.models import ApiKey


class KeyResource(BaseModel):
    """A key, without its secret."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    key_id: str
    owner: str
    name: str
    scopes: list[Scope]
    calls_per_minute: int | None = Field(description="Its own limit; null: the limit of its owner")
    budget_day_usd: Decimal | None = Field(description="The most its owner may spend in a day; null: the general limit")
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    last_used_at: AwareDatetime | None = Field(description="To the minute")
    revoked_at: AwareDatetime | None


class NewKey(KeyResource):
    """A key that was just created."""

    key: str = Field(description="The key itself. It is not stored and never shown again")


class KeyList(BaseModel):
    """Keys, newest first."""

    keys: list[KeyResource]


def routes(keys: Keys, access: Access, public_url: str) -> APIRouter:
    """Return the routes of API keys."""
    router = APIRouter(tags=["keys"])

    @router.post("/api/v1/keys", status_code=201, dependencies=[Depends(json_only)])
    async def make_key(key_request: KeyRequest, response: Response, _caller: Admin) -> NewKey:
        """Create a key. Only this answer shows it."""
        access.require_keys()
        key, row = await keys.create(key_request)
        response.headers["Location"] = f"{public_url}/api/v1/keys/{row.key_id}"
        response.headers["Cache-Control"] = "no-store"
        return NewKey(**_resource(row).model_dump(), key=key)

    @router.get("/api/v1/keys")
    async def list_keys(
        _caller: Admin, owner: Annotated[str | None, Query(description="Default: all owners")] = None
    ) -> KeyList:
        """List all keys, newest first, including expired and revoked ones."""
        return KeyList(keys=[_resource(row) for row in await keys.all(owner)])

    @router.get("/api/v1/keys/{key_id}")
    async def get_key(key_id: str, _caller: Admin) -> KeyResource:
        """Get a key."""
        return _resource(await keys.get(key_id))

    @router.delete("/api/v1/keys/{key_id}", status_code=204)
    async def revoke_key(key_id: str, _caller: Admin) -> None:
        """Revoke a key with all its sessions and tokens. It takes effect everywhere within five seconds."""
        await keys.revoke(key_id)

    return router


def _resource(row: ApiKey) -> KeyResource:
    return KeyResource(
        key_id=row.key_id,
        owner=row.owner,
        name=row.name,
        scopes=row.scopes,
        calls_per_minute=row.calls_per_minute,
        budget_day_usd=row.budget_day_usd,
        created_at=row.created_at.replace(tzinfo=UTC),
        expires_at=_aware(row.expires_at),
        last_used_at=_aware(row.last_used_at),
        revoked_at=_aware(row.revoked_at),
    )


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None else None
