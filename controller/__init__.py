"""What thinks: planning, selection, dispatch, answers, and the doors to them."""
