"""The memory is written, read and erased by its equations; the queue drops the oldest keys first."""

from __future__ import annotations

import torch

from daad.models.mcod.slot_memory import KeyQueue, SlotMemory


class TestSlotMemory:
    def test_written_rows_have_unit_length(self) -> None:
        memory = SlotMemory(4, 8)
        memory.write(torch.rand(20, 8), torch.randn(20, 4))
        torch.testing.assert_close(memory.items.norm(dim=1), torch.ones(4))

    def test_a_slot_with_the_largest_logit_of_every_key_is_not_erased(self) -> None:
        memory, logits = SlotMemory(4, 8), torch.tensor([[0.0, 9.0, 0.0, 0.0]]).expand(20, 4)
        before = memory.items.clone()
        memory.erase(logits, std=1.0)
        assert torch.equal(memory.items[1], before[1])
        assert not torch.isclose(memory.items, before)[[0, 2, 3]].any(dim=1).all()


def test_the_queue_is_first_in_first_out() -> None:
    queue = KeyQueue(3, 1, 1, 1)
    for number in (1.0, 2.0, 3.0, 4.0):
        row = torch.full((1, 1), number)
        queue.push(row, row, row)
    assert queue.contents()[0].flatten().tolist() == [4, 3, 2]
