"""A block's batches, each with its own part of what was said."""

from __future__ import annotations

from emr_store.signed_block import batches_of
from evidence.block_seal import read_seal, validation_leaf
from evidence.seal import batch_id
from evidence.tree import merkle_root
from tests.making import report
from tests.storing import NOW_US, Store


def test_each_batch_has_its_own_part_of_the_block(database: str) -> None:
    store = Store(database)
    sealed = [store.seal(report()), store.seal(report(), report("another")), store.seal(report())]
    signed = store.validate(*sealed)
    batches = batches_of([signed, signed])
    assert [batch.sealed for batch in batches] == sealed * 2
    assert [(batch.reports, batch.records) for batch in batches[:3]] == [
        (slice(0, 1), slice(0, 2)), (slice(1, 3), slice(2, 6)), (slice(3, 4), slice(6, 8))
    ]  # fmt: skip
    assert [batch.batch_id for batch in batches[:3]] == [batch_id(each) for each in sealed]
    assert list(signed.leaves) == [validation_leaf(batch.batch_id, batch.validation) for batch in batches[:3]]
    seal, _ = read_seal(signed.seal)
    assert (seal.root, signed.signed_at_us) == (merkle_root(list(signed.leaves)), NOW_US)
