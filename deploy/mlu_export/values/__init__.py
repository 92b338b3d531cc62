"""The values that rooms hand on: graph, network, ranges, head requests. They know no room."""
