"""Changes for Contrail's own daemons: each committed change as a message to RabbitMQ, as Contrail's API server sends it
(contract 6.1).

    address     where the brokers are
    messages    a change of the log -> a message
    broker      a connection to one of the brokers; needs the extra `amqp`
    publisher   works through the log, with a lease: one process at a time, in order, at least once
    progress    what it has done, for the metrics

Writes know nothing of it: the publisher reads the change log behind them, and remembers in the database how far the
broker has confirmed.
"""
