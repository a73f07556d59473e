"""Write the demo's data: customers' tickets to a made-up parcel-and-subscription shop, and the action each calls for.

    python configs/demo/make_tickets.py            writes train.csv and heldout.csv beside this file

Deterministic: the same files every time. Held-out tickets are made from sentences that no training ticket is made from.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = 20_260
TRAIN_EACH, HELD_OUT_EACH = 52, 9

# intent -> (sentences for training, sentences held out); {slots} are filled from SLOTS.
INTENTS: dict[str, tuple[list[str], list[str]]] = {
    "track_parcel": (
        [
            "where is my parcel {order}",
            "it has been {days} days and order {order} still isn't here, can you see where it is",
            "the tracking page for {order} hasn't moved since {day}",
            "any idea when my {item} will arrive",
            "I need to know which depot has {order} right now",
            "my neighbour got hers on {day}, mine is still on its way apparently. where exactly",
            "could you look up the delivery status of {order} please",
            "is the {item} out for delivery today or not",
            "tracking says 'in transit' for {days} days. what does that mean for {order}",
            "when will the courier come with my {item}",
        ],
        [
            "has {order} left the warehouse yet",
            "I keep refreshing the map but the van with my {item} never shows up, what's the latest",
            "please tell me how far away my delivery is",
            "no sign of the {item} I bought, where did it get to",
        ],
    ),
    "cancel_order": (
        [
            "please cancel order {order}",
            "I don't want the {item} any more, stop it before it ships",
            "ordered the wrong thing, can you call off {order}",
            "cancel my purchase from {day}",
            "my kid pressed buy on a {item}, please undo that",
            "I found the {item} cheaper elsewhere so drop my order",
            "could you stop {order} from being sent out",
            "changed my mind about {order}, I'd like it cancelled",
            "scrap the {item} order, I bought it twice by accident",
            "take back order {order} before it's packed",
        ],
        [
            "don't send the {item}, I no longer need it",
            "is it too late to call off {order}? I'd rather not have it",
            "please withdraw the order I placed on {day}",
            "kill order {order} thanks",
        ],
    ),
    "request_refund": (
        [
            "I sent the {item} back {days} days ago and still have no money",
            "when do I get my {amount} back for {order}",
            "please refund {order}",
            "the shop owes me {amount} for the {item} that never came",
            "I want my money back for the {item}",
            "you took {amount} twice, give one of them back",
            "still waiting for the refund you promised on {day}",
            "how long until {amount} is back on my card",
            "give me a full refund for order {order}",
            "I'd like to be reimbursed for the {item}",
        ],
        [
            "return arrived with you on {day}, yet my {amount} has not been paid back",
            "please put the {amount} for {order} back on my account",
            "I expect to be paid back for the {item}",
            "{amount} is missing, it should have been returned to me by now",
        ],
    ),
    "report_damage": (
        [
            "the {item} arrived in pieces",
            "box was crushed and the {item} inside has a crack",
            "{order} came with a broken {item}",
            "there is a big dent in the {item} you sent",
            "glass everywhere when I opened the parcel, the {item} is ruined",
            "my {item} doesn't switch on, it was smashed in transit",
            "the courier dropped it and now the {item} rattles",
            "the {item} was soaked and scratched when it got here",
            "arrived on {day} with the corner torn off, the {item} is bent",
            "{order}: item damaged, see photos",
        ],
        [
            "opened {order} and the {item} was snapped in half",
            "the {item} looks like someone drove over it",
            "everything in the carton is shattered",
            "your packaging failed, my {item} is chipped all over",
        ],
    ),
    "wrong_item": (
        [
            "I ordered a {item} but got a {other}",
            "this is not what I bought, there's a {other} in the box",
            "{order} contains someone else's {other}",
            "you sent the {item} in the wrong colour",
            "the size is wrong, I asked for large and the {item} is small",
            "why did I get a {other}? I wanted the {item}",
            "got the neighbour's {other} instead of my {item}",
            "the label says {item} but inside is a {other}",
            "you mixed up my order, this {other} isn't mine",
            "received a {other}, expected a {item}",
        ],
        [
            "there must be a mix-up: a {other} turned up in place of the {item}",
            "nice {other}, but it's the {item} that I paid for",
            "{order} has a {other} in it which I never asked for",
            "blue {item} was what I chose, a red one came",
        ],
    ),
    "change_address": (
        [
            "I moved, please send {order} to my new flat",
            "the street on {order} is wrong, it should be {street}",
            "can you deliver to {street} instead",
            "update my delivery address to {street}",
            "I typed the old postcode, the parcel must go to {street}",
            "please redirect the {item} to my office at {street}",
            "change where {order} is going, I'm at {street} now",
            "my house number is missing from the address, it's {street}",
            "new address from {day}: {street}",
            "send it to my sister at {street}, not to me",
        ],
        [
            "we're living at {street} these days, correct that for {order}",
            "wrong destination on the {item}, it has to get to {street}",
            "could the parcel go to {street} rather than my old place",
            "please fix the shipping details, I live at {street}",
        ],
    ),
    "reset_password": (
        [
            "I forgot my password",
            "can't log in, it says my password is wrong",
            "please send me a link to set a new password",
            "locked out of my account after three tries",
            "the reset mail never arrives",
            "how do I get back into my account",
            "my login stopped working on {day}",
            "it won't accept my password since the update",
            "need a new password for {email}",
            "I can't sign in with {email}",
        ],
        [
            "the site refuses my credentials for {email}",
            "don't remember what I chose to sign in with, help me get in",
            "your login page keeps throwing me out",
            "password recovery for {email} please",
        ],
    ),
    "change_email": (
        [
            "please change the email on my account to {email}",
            "I have a new email address: {email}",
            "my mail provider closed, use {email} from now on",
            "update my contact email to {email}",
            "the newsletter goes to my old work mail, switch my account to {email}",
            "how can I replace the email address you have for me",
            "receipts should go to {email} now",
            "swap my registered mail for {email}",
            "I lost access to my old inbox, please register {email}",
            "there's a typo in my email, it should read {email}",
        ],
        [
            "from {day} on you reach me at {email}, please note it in my profile",
            "the address you write to is dead, mine is {email}",
            "set {email} as my mail",
            "put {email} in place of the old one in my account",
        ],
    ),
    "cancel_subscription": (
        [
            "stop my monthly box",
            "I want to end my subscription",
            "please don't renew my membership on {day}",
            "cancel the {plan} plan",
            "I no longer want the {plan} membership",
            "unsubscribe me from {plan}, it's too expensive",
            "how do I quit {plan}",
            "end my {plan} at the end of the month",
            "turn off auto-renewal for {plan}",
            "I won't be using {plan} any more, close it",
        ],
        [
            "my {plan} should run out and not be prolonged",
            "let my membership lapse, I'm done with {plan}",
            "no more {plan} for me please",
            "I'd like to get out of the {plan} contract",
        ],
    ),
    "upgrade_plan": (
        [
            "I'd like to move up to {plan}",
            "upgrade me to {plan} please",
            "how much more is {plan}? switch me over",
            "can I get the bigger plan from {day}",
            "put my account on {plan}",
            "I need more than my current plan offers, give me {plan}",
            "change my membership to the higher tier",
            "we outgrew our plan, what about {plan}",
            "switch us to {plan} starting now",
            "please activate {plan} on top of what I have",
        ],
        [
            "the small plan isn't enough, I'll take {plan}",
            "bump my account up one level",
            "I want all the extras that come with {plan}",
            "can we go for {plan} instead of the basic one",
        ],
    ),
    "get_invoice": (
        [
            "please send me the invoice for {order}",
            "I need a receipt for the {item}",
            "where can I download my bill",
            "my accountant wants the invoice from {day}",
            "no invoice came with {order}",
            "can you mail the tax receipt to {email}",
            "I need a VAT invoice made out to my company",
            "the bill for {order} is missing our company name",
            "could I have a copy of my last invoice",
            "send a PDF of the receipt over {amount}",
        ],
        [
            "for my expenses I require the paper for {order}",
            "is there a document showing that I paid {amount}",
            "proof of purchase for the {item} please, with tax shown",
            "bookkeeping asks me for the bill from {day}",
        ],
    ),
    "payment_failed": (
        [
            "my card was declined at checkout",
            "payment for {order} won't go through",
            "I tried to pay {amount} three times, always an error",
            "checkout says transaction refused",
            "paypal keeps failing when I buy the {item}",
            "can't pay, the page hangs after I enter my card",
            "why is my credit card not accepted",
            "the bank says fine, your shop says payment error",
            "it rejects my card number for the {item}",
            "error code 51 when paying {amount}",
        ],
        [
            "the money part of the order doesn't work, my visa gets turned down",
            "your till won't take my card for {amount}",
            "pressing pay gives a red message and nothing is bought",
            "I can't complete the purchase of the {item}, the transaction bounces",
        ],
    ),
    "redeem_voucher": (
        [
            "my discount code doesn't work",
            "how do I use the voucher {code}",
            "code {code} says expired but it's valid until {day}",
            "I forgot to enter {code} on {order}",
            "the gift card {code} isn't accepted",
            "can you apply {code} to my order afterwards",
            "where do I type in a coupon",
            "I have a {amount} gift card, how do I spend it",
            "promo {code} takes nothing off the price",
            "the newsletter promised 10 percent off, code {code} fails",
        ],
        [
            "please take {code} off the price of {order}",
            "what do I do with a gift certificate over {amount}",
            "{code} ought to make it cheaper but the total stays the same",
            "a coupon lies here unused, how does one cash it in",
        ],
    ),
    "speak_to_human": (
        [
            "let me talk to a real person",
            "I want to speak with someone on the phone",
            "stop sending me bot replies and get me an agent",
            "can a human call me back on {day}",
            "is there a phone number I can ring",
            "connect me to your support team please",
            "I'd rather explain this to a person",
            "give me a manager",
            "nobody answers my mails, I need to talk to someone",
            "transfer me to an employee",
        ],
        [
            "are there any actual people working here? put one on",
            "this machine doesn't get it, I'd like a colleague of yours instead",
            "please have somebody ring me",
            "who can I speak to in person",
        ],
    ),
}

SLOTS: dict[str, list[str]] = {
    "order": [
        "#48213",
        "no. 7741",
        "A-90316",
        "#10552",
        "order 33871",
        "K-20094",
        "#65108",
        "no. 9027",
        "B-41177",
        "#77230",
    ],
    "item": [
        "kettle",
        "desk lamp",
        "rain jacket",
        "blender",
        "backpack",
        "headphones",
        "bookshelf",
        "yoga mat",
        "coffee grinder",
        "toaster",
        "tent",
        "keyboard",
    ],
    "other": ["hair dryer", "garden hose", "pillow", "phone case", "frying pan", "football", "clock"],
    "day": ["Monday", "Tuesday", "the 3rd", "the 17th", "last Friday", "the weekend", "May 12", "yesterday"],
    "days": ["4", "six", "9", "ten", "12"],
    "amount": ["39 euros", "$24.90", "£60", "112.50", "18 dollars", "75 EUR"],
    "street": [
        "14 Mill Lane",
        "Oak Street 9",
        "220 Harbour Road",
        "5 Queens Close",
        "Birch Avenue 71b",
        "3 Station Square",
    ],
    "email": [
        "mara.k@post.example",
        "tom77@mail.example",
        "lee@work.example",
        "anna.b@home.example",
        "jd@inbox.example",
    ],
    "plan": ["Plus", "Family", "Gold", "the Pro plan", "Premium", "the team plan"],
    "code": ["SPRING10", "WELCOME5", "XM-2290", "FRIEND20", "GIFT-771"],
}
OPENINGS = [
    "",
    "",
    "",
    "hi, ",
    "hello there, ",
    "Dear team, ",
    "hey ",
    "good morning. ",
    "sorry to bother you but ",
    "ok so ",
    "this is the second time I write: ",
]
ENDINGS = [
    "",
    "",
    "",
    " thanks",
    " thank you!",
    "!!",
    " asap please",
    ". I have been a customer for years",
    ". The weather is awful here too",
    " - cheers, Sam",
    ". My dog loves your boxes by the way",
    ". Otherwise I'm happy with the {item}",
]


def fill(text: str, chance: random.Random) -> str:
    """The sentence with its slots filled."""
    for name, values in SLOTS.items():
        while "{" + name + "}" in text:
            text = text.replace("{" + name + "}", chance.choice(values), 1)
    return text


def worn(text: str, chance: random.Random) -> str:
    """The sentence as people type it: sometimes without capitals, shouted, or with a slip of the finger."""
    kind = chance.random()
    if kind < 0.12:
        return text.upper()
    if kind < 0.4:
        return text[:1].upper() + text[1:]
    if kind < 0.6 and len(text) > 12:
        at = chance.randrange(3, len(text) - 3)
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text


def tickets(sentences: list[str], count: int, chance: random.Random) -> list[str]:
    """`count` different tickets made from the sentences, each used about equally often."""
    made: list[str] = []
    while len(made) < count:
        sentence = sentences[len(made) % len(sentences)]
        ticket = worn(fill(chance.choice(OPENINGS) + sentence + chance.choice(ENDINGS), chance), chance)
        if ticket not in made:
            made.append(ticket)
    return made


def write(name: str, rows: list[tuple[str, str]]) -> None:
    """Write rows as CSV with the columns instruction and intent."""
    with (HERE / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["instruction", "intent"])
        writer.writerows(rows)


def main() -> None:
    """Write both files."""
    chance = random.Random(SEED)
    train = [
        (ticket, intent) for intent, (known, _) in INTENTS.items() for ticket in tickets(known, TRAIN_EACH, chance)
    ]
    held_out = [
        (ticket, intent) for intent, (_, kept) in INTENTS.items() for ticket in tickets(kept, HELD_OUT_EACH, chance)
    ]
    chance.shuffle(train)
    chance.shuffle(held_out)
    write("train.csv", train)
    write("heldout.csv", held_out)


if __name__ == "__main__":
    main()
