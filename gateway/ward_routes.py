"""Beside the ward's own stream: the beds of other wards, without a name, for who may break the glass there."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.access.words import Action, Answer, DataClass
from gateway.answers import HEADERS
from gateway.asking import Asking, asking_of
from gateway.feed import Feed
from gateway.places import Places


def ward_routes(feed: Feed) -> list[Route]:
    """Of what the feed's reader knows: the store is not asked."""

    async def other_wards(request: Request) -> Response:
        found = {"wards": wards_to_ask(asking_of(request), feed.places)}
        return Response(msgspec.json.encode(found), media_type="application/json", headers=HEADERS)

    return [Route("/other-wards", other_wards)]


def wards_to_ask(asking: Asking, places: Places) -> list[dict[str, Any]]:
    """The beds with one patient each that only a reason opens, by ward; "" is none that is known."""
    identities = places.stays.get(DataClass.IDENTITY, {})
    found = defaultdict[str, list[dict[str, str]]](list)
    for bed, place in places.of_bed.items():
        stays = [identities[stay] for stay in place.stays if stay in identities]
        if len(stays) == 1 and asking.may(Action.SEE, stays[0]).answer is Answer.ASK_REASON:
            found[place.ward].append({"label": bed.label, "encounter": stays[0].encounter})
    return [{"ward": ward.partition("^")[2], "beds": beds} for ward, beds in sorted(found.items())]
