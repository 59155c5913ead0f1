#!/usr/bin/env python3
"""What a link carries for each of several ranks when all exchange at once over TCP, as sums of gradients do.

usage: bench/link_speed.py RANK EXCHANGES MB ADDRESS ADDRESS...

Started once per address; RANK is its own place among them (0, 1, ...). In an exchange, every rank sends MB megabytes to every other
one, while it receives as many from each, and ends when it has all of them. After one that is not measured, there are EXCHANGES of
them. Rank 0 then prints "MBIT DELAY": Mbit/s that each rank sent and received, and half of the least time that a small message took
to rank 1 and back, in ms.
"""
import socket
import sys
import threading
import time

PORT = 7077
MESSAGES = 20


def exactly(connection, size):
    left = size
    while left:
        got = connection.recv(min(left, 1 << 18))
        if not got:
            sys.exit("link_speed: the other end has closed")
        left -= len(got)


def connect(address):
    for _ in range(100):
        try:
            return socket.create_connection((address, PORT))
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit(f"link_speed: nobody listens at {address}")


def open_connections(rank, addresses):
    """Of every other rank: each calls those before it."""
    others = {}
    with socket.create_server((addresses[rank], PORT), backlog=len(addresses)) as server:
        for other in range(rank):
            others[other] = connect(addresses[other])
            others[other].sendall(bytes([rank]))
        while len(others) < len(addresses) - 1:
            connection = server.accept()[0]
            others[connection.recv(1)[0]] = connection
    for connection in others.values():
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return others


def exchange(rank, others, data):
    """The rank after this one comes first, as in a sum."""
    ranks = len(others) + 1
    order = [others[(rank + k) % ranks] for k in range(1, ranks)]
    threads = [threading.Thread(target=connection.sendall, args=(data,)) for connection in order]
    threads += [threading.Thread(target=exactly, args=(connection, len(data))) for connection in order]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def there_and_back(rank, others):
    least = 1e9
    for _ in range(MESSAGES if rank < 2 else 0):
        began = time.perf_counter()
        if rank == 0:
            others[1].sendall(b"x")
        exactly(others[1 - rank], 1)
        if rank == 1:
            others[0].sendall(b"x")
        least = min(least, time.perf_counter() - began)
    return least


def main():
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    rank, exchanges, data, addresses = int(sys.argv[1]), int(sys.argv[2]), bytes(int(float(sys.argv[3]) * 1e6)), sys.argv[4:]
    others = open_connections(rank, addresses)
    trip = there_and_back(rank, others)
    exchange(rank, others, data)
    exchange(rank, others, b"x")
    began = time.perf_counter()
    for _ in range(exchanges):
        exchange(rank, others, data)
    exchange(rank, others, b"x")  # all have all of it
    seconds = time.perf_counter() - began
    if rank == 0:
        print(f"{exchanges * len(others) * len(data) * 8e-6 / seconds:.4g} {trip / 2 * 1e3:.4g}")


if __name__ == "__main__":
    main()
