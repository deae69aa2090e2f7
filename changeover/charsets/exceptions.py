"""Where the servers' character sets are not what Python's codec of the same name is.

Each set: Python's codec that is nearest to it, and the characters that differ, in runs: the first one's bytes
in hexadecimal, then the characters of this and the following codes. The replacement character stands for
"there is none". Recorded from MariaDB 10.11 and MySQL 8.0.15, which agree.
"""

from collections.abc import Mapping

NONE = "\ufffd"

Runs = Mapping[str, str]

USER_DEFINED: Runs = {
    # Rows 85-94 of both planes of EUC, which Unicode's private use area stands for.
    f"{plane}{0xF5 + row:02x}a1": "".join(chr(first + 94 * row + place) for place in range(94))
    for plane, first in (("", 0xE000), ("8f", 0xE3AC))
    for row in range(10)
}

EXCEPTIONS: Mapping[str, tuple[str, Runs]] = {
    # One byte a character.
    "armscii8": (
        "latin-1",
        {
            "a1": "❁§։)(»«—.՝,-՟…՜՛՞ԱաԲբԳգԴդԵեԶզԷէԸ",
            "c1": "ըԹթԺժԻիԼլԽխԾծԿկՀհՁձՂղՃճՄմՅյՆնՇշՈ",
            "e1": "ոՉչՊպՋջՌռՍսՎվՏտՐրՑցՒւՓփՔքՕօՖֆ’'",
        },
    ),
    "dec8": (
        "latin-1",
        {
            "a4": "�",
            "a6": "�",
            "a8": "¤",
            "ac": "����",
            "b4": "�",
            "b8": "�",
            "be": "�",
            "d0": "�",
            "d7": "Œ",
            "dd": "Ÿ�",
            "f0": "�",
            "f7": "œ",
            "fd": "ÿ��",
        },
    ),
    "geostd8": (
        "latin-1",
        {
            "80": "€�‚�„…†‡�‰�‹�����‘’“”•–—���›����",
            "c0": "აბგდევზჱთიკლმნჲოპჟრსტჳუფქღყშჩცძწ",
            "e0": "ჭხჴჯჰჵ�����������������������№��",
        },
    ),
    "keybcs2": (
        "latin-1",
        {
            "80": "ČüéďäĎŤčěĚĹÍľĺÄÁÉžŽôöÓůÚýÖÜŠĽÝŘť",
            "a0": "áíóúňŇŮÔšřŕŔ¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐",
            "c0": "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀",
            "e0": "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■",
            "ff": "\xa0",
        },
    ),
    "swe7": ("ascii", {"40": "É", "5b": "ÄÖÅÜ", "60": "é", "7b": "äöåü�"}),
    "cp1256": (
        "cp1256",
        {"8a": "�", "8f": "�", "98": "�", "9a": "�", "9f": "�", "aa": "�", "c0": "�", "ff": "�"},
    ),
    "cp866": ("cp866", {"fc": "ⁿ²"}),
    "greek": ("iso8859-7", {"a1": "ʽʼ", "a4": "��", "aa": "�"}),
    "hebrew": ("iso8859-8", {"af": "‾"}),
    "koi8u": ("koi8-u", {"95": "•"}),
    "latin1": ("cp1252", {"81": "\x81", "8d": "\x8d", "8f": "\x8f\x90", "9d": "\x9d"}),
    # More than one.
    "big5": (
        "big5",
        {
            **dict.fromkeys(("a15a", "a1c3", "a1c5", "a1fe", "a240", "a2cc", "a2ce"), NONE),
            "f9d6": "碁銹裏墻恒粧嫺",
        },
    ),
    "cp932": ("cp932", {"80": NONE, "a0": NONE, "fd": "���"}),
    "gb18030": ("gb18030", {"a8bc": "\u1e3f", "8135f437": "\ue7c7"}),
    "sjis": ("shift_jis", {"815f": "\\"}),
    "ujis": ("euc_jp", {"a1c0": "\\", **USER_DEFINED}),
    "eucjpms": (
        "euc_jp",
        {
            "8fa2b7": "～",
            "8fa2c3": "￤",
            "8ff3f3": "ⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹⅠⅡ",
            "8ff4a1": "ⅢⅣⅤⅥⅦⅧⅨⅩ＇＂㈱№℡炻仼僴凬匇匤﨎咊坙﨏塚增寬峵嵓﨑德悅愠敎昻晥晴朗栁﨓﨔",
            "8ff4c9": "橫櫢淸淲瀨凞猪甁皂皞益礰礼神祥福竧靖精綠緖羽荢﨟薰蘒﨡蠇諸譿賴赶﨣﨤逸郞都鄕﨧﨨",
            "8ff4f1": "閒隆﨩霻靍靑飯飼館馞髙魲鶴黑",
            "a1c1": "～∥",
            "a1dd": "－",
            "a1f1": "￠￡",
            "a2cc": "￢",
            "ada1": "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳ⅠⅡⅢⅣⅤⅥⅦⅧⅨⅩ",
            "adc0": "㍉㌔㌢㍍㌘㌧㌃㌶㍑㍗㌍㌦㌣㌫㍊㌻㎜㎝㎞㎎㎏㏄㎡",
            "addf": "㍻〝〟№㏍℡㊤㊥㊦㊧㊨㈱㈲㈹㍾㍽㍼≒≡∫∮∑√⊥∠∟⊿∵∩∪",
            **USER_DEFINED,
        },
    ),
}
