"""The cells by name. To add one, import it here and add it to CELLS."""

from rnnscope.errors import UserError, unknown_part
from rnnscope.model.cells.cell import Cell
from rnnscope.model.cells.gru import GRU
from rnnscope.model.cells.lstm import LSTM
from rnnscope.model.cells.mogrifier_lstm import MOGRIFIER_LSTM
from rnnscope.model.cells.peephole_lstm import PEEPHOLE_LSTM
from rnnscope.model.cells.rnn import RNN

CELLS = {cell.name: cell for cell in (RNN, LSTM, GRU, PEEPHOLE_LSTM, MOGRIFIER_LSTM)}


def find_cell(name: str) -> Cell:
    """Return the cell called `name`.

    Raises:
        UserError: if `name` is unknown, listing the cells.
    """
    if name not in CELLS:
        raise UserError(unknown_part("model.cell", name, CELLS))
    return CELLS[name]
