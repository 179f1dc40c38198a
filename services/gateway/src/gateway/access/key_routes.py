"""The REST API of keys: make one, list them, revoke one. For administrators."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateway.access.dependencies import Admin
from gateway.access.keys import Keys, KeyWish, Scope
from gateway.access.service import Access
from gateway.http.json_body import json_only
from gateway.models import ApiKey


class KeyResource(BaseModel):
    """A key, without what is secret of it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    key_id: str
    owner: str
    name: str
    scopes: list[Scope]
    calls_per_minute: int | None = Field(description="Its own limit; null: that of its owner")
    budget_day_usd: Decimal | None = Field(description="The most its owner may spend in a day; null: as everybody")
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    last_used_at: AwareDatetime | None = Field(description="To the minute")
    revoked_at: AwareDatetime | None


class NewKey(KeyResource):
    """A key that was just made."""

    key: str = Field(description="The key itself. It is kept nowhere and never shown again")


class KeyList(BaseModel):
    """Keys, the newest first."""

    keys: list[KeyResource]


def routes(keys: Keys, access: Access, public_url: str) -> APIRouter:
    """All routes of keys, on these tools."""
    router = APIRouter(tags=["keys"])

    @router.post("/api/v1/keys", status_code=201, dependencies=[Depends(json_only)])
    async def make_key(wish: KeyWish, response: Response, _caller: Admin) -> NewKey:
        """Make a key. The answer shows it, this once."""
        access.require_keys()
        key, row = await keys.make(wish)
        response.headers["Location"] = f"{public_url}/api/v1/keys/{row.key_id}"
        response.headers["Cache-Control"] = "no-store"
        return NewKey(**_resource(row).model_dump(), key=key)

    @router.get("/api/v1/keys")
    async def list_keys(
        _caller: Admin, owner: Annotated[str | None, Query(description="Default: everybody")] = None
    ) -> KeyList:
        """List all keys, the newest first, those that have ended too."""
        return KeyList(keys=[_resource(row) for row in await keys.all(owner)])

    @router.get("/api/v1/keys/{key_id}")
    async def get_key(key_id: str, _caller: Admin) -> KeyResource:
        """Look at a key."""
        return _resource(await keys.get(key_id))

    @router.delete("/api/v1/keys/{key_id}", status_code=204)
    async def revoke_key(key_id: str, _caller: Admin) -> None:
        """Revoke a key, and with it all its sessions and tokens. Every replica heeds it within five seconds."""
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
