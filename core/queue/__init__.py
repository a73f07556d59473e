"""The queue: Dramatiq on Valkey or Redis, with what a studio needs beyond it.

Keys, all below the namespace NS (`fts`):

    NS:<queue>, NS:<queue>.msgs, NS:__acks__..., NS:__heartbeats__   Dramatiq's own layout
    NS:deliveries:<slot>   how often a message's processing was begun, for a day (guard.py)
    NS:dead, NS:dead:bytes stream of dead letters, and how much they hold (dead.py)
    NS:dead:sent:<letter>  what became of a letter that went back into its queue, for a week
    NS:epoch               the epoch of the store whose events are published now
    NS:events:<epoch>      stream of the domain's events; an entry's id is its row's id
    NS:job:<job>           stream of a job's records, for those who watch it
    NS:wake:<runner>       list on which an idle runner waits
    md5(NS-results:...)    replies, in Dramatiq's result backend layout
"""
