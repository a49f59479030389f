"""Whether a tenant is still the one that work was begun for.

A tenant may be deleted, and another one created under its name, while rows or heads are made. Whatever writes them
for a while, beside the log, looks again after each write: what it wrote then belongs to nobody, or to somebody else.
"""

from __future__ import annotations

from chassis.errors import NotFound
from corpus.domain import Tenant
from corpus.ports import Tenants


async def tenant_of(tenants: Tenants, tenant_id: str) -> Tenant:
    """The tenant as it is now. Raises NotFound UNKNOWN_TENANT."""
    tenant = await tenants.get(tenant_id)
    if tenant is None:
        raise tenant_gone()
    return tenant


async def is_gone(tenants: Tenants, tenant: Tenant) -> bool:
    """Whether it was deleted, also if there is one of its name again."""
    now = await tenants.get(tenant.tenant_id)
    return now is None or now.created_at != tenant.created_at


def tenant_gone() -> NotFound:
    """What ends work for a tenant that is not there any more."""
    return NotFound("The tenant does not exist, or was deleted meanwhile.", reason="UNKNOWN_TENANT")
