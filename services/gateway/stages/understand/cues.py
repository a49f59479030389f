"""What the words of a question say about its class, in English, German, French, Spanish and Italian.

All patterns meet folded text (``words.fold``). Those of small talk must match a question as a whole, and those of what
no document answers are narrow on purpose: a question that is not searched for though it should be costs its reader more
than a search in vain.
"""

from __future__ import annotations

import re
from typing import Final

_TAIL: Final = r"[\s,.!?…:;)-]*"


def _whole(*parts: str) -> re.Pattern[str]:
    """One or more of the parts, and nothing else."""
    part = "|".join(parts)
    return re.compile(rf"(?:(?:{part})\b{_TAIL})+")


SMALL_TALK: Final = {
    "en": _whole(
        r"(hi|hello|hey|howdy|greetings)( there| again| everyone| all)?",
        r"good (morning|afternoon|evening|night|day)",
        r"how('s it going| are (you|things)( (today|doing))?| do you do)",
        r"(many )?(thanks|thank you|thx|cheers)( a lot| so much| very much| again| for (your|the) help| for that)?",
        r"(that|this|it) (helped|was helpful|works|worked)( a lot)?",
        r"(ok|okay|great|perfect|nice|cool|awesome|good|got it|i see|well done|sounds good|yes|no|sure)",
        r"(good)?bye|see you( (later|soon|tomorrow))?|have a (nice|good|great) (day|evening|weekend|one)",
        r"(who|what) are you|what('s| is) your name|what can you do|are you (there|a bot|a robot|human|real|an ai)",
        r"tell me (a|another) joke|nice to meet you|how was your day|what's up|you're welcome|sorry",
    ),
    "de": _whole(
        r"(hallo|hi|hey|moin|servus|grüß gott|guten (morgen|tag|abend)|gute nacht)( zusammen)?",
        r"(vielen |herzlichen )?dank( für (die|deine|ihre) hilfe)?|danke( schön| sehr)?( für (die|deine|ihre) hilfe)?",
        r"wie geht es (dir|ihnen)|wie geht's|tschüss|auf wiedersehen|bis (bald|morgen|später)",
        r"wer bist du|was kannst du|alles klar|super|erzähl(e)? (mir )?einen witz|in ordnung|bitte",
    ),
    "fr": _whole(
        r"bonjour|bonsoir|salut|coucou|merci( beaucoup| bien)?|au revoir|à (bientôt|demain)",
        r"(comment )?ça va( bien)?|comment (allez-vous|vas-tu)|qui es-tu|qui êtes-vous|d'accord|parfait",
        r"raconte(-moi)? une blague",
    ),
    "es": _whole(
        r"hola|buen(os|as) (días|tardes|noches)|(muchas )?gracias|adiós|hasta (luego|mañana|pronto)",
        r"qué tal|cómo estás|cómo está usted|quién eres|vale|perfecto|cuéntame un chiste",
    ),
    "it": _whole(
        r"ciao|buon(giorno|asera)|grazie( mille)?|arrivederci|a presto|come (stai|va)|chi sei|perfetto|prego",
    ),
}

OUT_OF_SCOPE: Final = {
    "en": re.compile(
        r"^(what('s| is) |tell me |explain )?(the )?(meaning|purpose) of "
        r"((my |our |human )?(life|existence)|it all|being alive)\W*$"
        r"|^do(es)? (you|we|humans|anyone|people) (really )?(have|possess) (free will|a soul|feelings)\W*$"
        r"|^(is there|does) (a |an )?(god|afterlife|life after death)( (really|actually))?( exist)?\W*$"
        r"|^do you believe in (a |an )?(god|ghosts?|fate|love|miracles|magic|aliens|afterlife|life after death)\W*$"
        r"|^why (do|are) (we|i|humans) (exist|here|alive)\W*$|^who am i\W*$"
        r"|^what is (love|happiness|truth|beauty|justice|consciousness|the soul|reality|time|evil)\W*$"
        r"|^(can|could|will) (a |an )?(machines?|computers?|ai|robots?) (ever )?((really )?(think|feel|dream|love)"
        r"|(be|become) (truly |ever )?(conscious|sentient|alive|self-aware|human|creative|moral))\W*$"
        r"|^are you (conscious|alive|sentient|happy|in love)\W*$|^do you (dream|feel|think)( (anything|at night))?\W*$"
        r"|^do you (love|like|hate|miss) (me|us|people|humans|cats|dogs|music|art|your job|being a \w+)\W*$"
        r"|^(what do you think|what's your opinion|what is your opinion|how do you feel) (about|of|on)\b"
        r"|^(please |can you |could you )?(write|compose|sing|recite)( me| us)? (a|an|another|some) "
        r"((\w+ )?(poem|song|haiku|limerick|sonnet|joke|novel|fairy tale|rap)\b"
        r"|((very |really )?(short|funny|sad|scary|love|bedtime|horror|nice|little) )?story( about\b|\W*$))"
        r"|^should i (marry|divorce|break up|quit my job|have (children|kids)|get married)"
        r"( (with )?(my|her|him|them)( \w+)?)?( or not)?\W*$"
        r"|^what('s| is|'ll| will) the weather( like| be| going to be| forecast)?( like)?"
        r"( (in|on|at|for|today|tomorrow|now)\b|\W*$)"
        r"|^(please |can you )?(recommend|suggest)( me| us)? (a|an|some)( good)? "
        r"(movies?|films?|books?|restaurants?|songs?|series|recipes?|jokes?)"
        r"( (to (watch|read|listen to|cook|eat)|for (me|us|tonight|today|dinner|lunch|the weekend)|tonight))*\W*$"
        r"|^which (football|soccer) team (is the best|will win|do you (like|support))|^what number am i thinking"
    ),
    "de": re.compile(
        r"^(was ist )?(der )?sinn des lebens\W*$|^gibt es (einen )?gott\W*$|^glaubst du\b"
        r"|^(haben|hat|besitzen|habe) (wir|ich|man|menschen|der mensch) (einen )?freien willen\W*$"
        r"|^warum (existieren|leben) wir\W*$"
        r"|^(schreib|dichte|sing)e? (mir )?(ein|eine|einen) (\w+ )?(gedicht|lied|witz|geschichte( über\b|\W*$))"
        r"|^wie (ist|wird) das wetter\b|^was hältst du von\b|^was denkst du über\b|^soll ich heiraten\W*$"
    ),
    "fr": re.compile(
        r"^(quel est )?(le )?sens de la vie\W*$|^(est-ce que )?dieu existe(-t-il)?\W*$|^crois-tu\b"
        r"|^(avons-nous|a-t-on|est-ce que (nous|l'homme|on)|l'homme|l'être humain)\b.*\blibre arbitre\W*$"
        r"|^pourquoi existons-nous\W*$"
        r"|^(écris|compose|chante)(-moi)? (un|une) (\w+ )?(poème|chanson|blague|histoire( sur\b|\W*$))"
        r"|^quel temps (fait|fera)(-t)?-il\b|^que penses-tu d"
    ),
    "es": re.compile(
        r"^(cuál es )?(el )?sentido de la vida\W*$|^existe dios\W*$|^crees en\b"
        r"|^(tenemos|tengo|tiene el hombre|existe)( el| un)? libre albedrío\W*$|^por qué existimos\W*$"
        r"|^(escribe|escríbeme|compón|canta) (un|una) (\w+ )?(poema|canción|cuento|chiste)\b"
        r"|^qué tiempo (hace|hará)( (en|hoy|mañana)\b|\W*$)|^qué (opinas|piensas) (de|sobre)\b"
    ),
    "it": re.compile(
        r"^((qual|cosa) è )?(il )?senso della vita\W*$|^esiste dio\W*$"
        r"|^(abbiamo|ho|l'uomo ha|esiste)( il| un)? libero arbitrio\W*$|^perché esistiamo\W*$"
        r"|^(scrivi|scrivimi|componi|canta) (un|una) (\w+ )?(poesia|canzone|barzelletta|storia( su\b|\W*$))"
        r"|^che tempo fa\b"
    ),
}

COMPARISON: Final = re.compile(
    r"\bdifferen(ce|ces|t|tiate)\b.*\b(between|from|than)\b|\bdiffers?\b|\bcompar(e|es|ed|ing|ison)\b|\bversus\b|\bvs\b"
    r"|\band\b.*\bboth\b|\bboth\b.*\band\b|\bin common\b|\b(first|earlier|older|younger|more recently)\b.*\bor\b"
    r"|\bpros and cons\b|\b(dis)?advantages? of\b.*\b(over|versus|compared)\b"
    r"|\b(better|worse|rather|instead)\b.*\b(or|than|of)\b"
    r"|\b(more|less|fewer) [\w-]+( [\w-]+)? than\b|\b(?!other|rather)[a-z]{2,}er than\b|\bwhat (has )?changed between\b"
    r"|^which .*\b(better|worse|cheaper|longer|faster|larger|bigger|older|newer|more|less|higher|lower)\b.*\bor\b"
    r"|, or only\b|\bv\d+\b.*\b(instead|now)\b.*\bversion \d|\b(same as|as (\w+) as)\b.*\b(in|the|on)\b.*\?"
    r"|\bunterschied(e|en)?\b|\bim vergleich\b|\bvergleich(e|en)?\b|\b\w+er als\b"
    r"|\bdifférences? (entre|y)\b|\bquelle différence\b|\bcompar(er|ez|é)\b|\b(plus|moins) [\w-]+ que\b"
    r"|\bdiferencias? (entre|hay)\b|\bcomparar?\b|\b(más|menos) [\w-]+ que\b"
    r"|\bdifferenz[ae]\b|\bconfront(a|o|are)\b|\b(più|meno) [\w-]+ (di|che|del|della)\b"
)

HOW_TO: Final = re.compile(
    r"\bhow (do|can|should|could|would|must) (i|we|you|one|they|it)\b|\bhow to\b|\bhow (is|are) .* (done|made)\b"
    r"|\bhow do\b|\bhow (should|can|must) (the|a|an)\b"
    r"|^(the )?steps (to|for|of)\b|\bwhat are the steps\b|\bwhat (should|must|can|do|could) (i|we) (have to )?do\b"
    r"|\bwhat do i have to do\b|\b(procedure|instructions|process|guide|tutorial) (for|to)\b|\bwalk me through\b"
    r"|\b(show|tell|explain)( me| to me)? how\b|\bhelp me (to )?(\w+)\b|\bwhat (could|might) be wrong\b"
    r"|^which command\b|\bwhich command (\w+)s\b|\b(can|may|could) i (\w+) .*\b(from|to|straight|directly|without)\b"
    r"|\bwie (kann|muss|soll|soll?te|könnte|lässt|richte|setze|stelle|mache|ändere|installiere|konfiguriere)\b"
    r"|\bwas (muss|soll|kann) (ich|man)\b|\bschritte\b|\banleitung\b|\bwie \w+e ich\b|\bwie \w+t man\b"
    r"|^comment (\w+er|\w+ir|\w+re|puis|faire|peut|dois|je|on)\b|\bque (dois|faut)\b|\bétapes\b"
    r"|\bcómo (puedo|se|debo|hago|hacer|podemos|\w+[aei]r)\b|\bqué (debo|tengo que|hay que) hacer\b|\bpasos\b"
    r"|^come (si|posso|devo|faccio|\w+[aei]re)\b|\bcosa devo fare\b"
)

SEVERAL_STEPS: Final = re.compile(
    r"(,|;)? (and|und|et|y|e) (then )?(in )?(what|which|who|whom|whose|how|when|where|why|is|are|does|do|can|was|were|"
    r"was|wer|wie|wann|wo|warum|welche[rsn]?|qu'est-ce|qui|quel(le)?s?|quand|comment|où|pourquoi|"
    r"quién|qué|cuál|cuándo|cómo|dónde|chi|cosa|quale|quando|come|dove)\b"
    r"|\b(of|by|in|for|to|from|does|is|with|on) (the|a|an) (\w+ ){1,3}(that|which|who|whose|where)\b"
    r"|\b(product|document|person|company|team|service|city|country|film|book|level|version|incident|alert) "
    r"(whose|that|which|who)\b"
    r"|\bof the (\w+ )?\w+ (of|by) the (\w+ )?\w+ (of|that|who|which|in)\b"
    r"|\b(des|der|vom) \w+, (der|die|das|dessen|deren) \b|\b(quién|qué|cuál)\b.*\b(equipo|persona|empresa) que\b"
    r"|\b(qui|quel(le)?)\b.*\b(l'équipe|la personne|la société) qui\b"
)

TIME_SENSITIVE: Final = re.compile(
    r"\b(current|currently|latest|newest|today|tonight|nowadays|right now|recent|recently|up[- ]to[- ]date|as of|"
    r"most recent|any ?more|still|yet|upcoming)\b|\bnow\W*$"
    r"|\b(this|next|last) (week|month|quarter|year|spring|summer|autumn|fall|winter|season|monday|tuesday|wednesday|"
    r"thursday|friday|saturday|sunday)\b"
    r"|\b(until|till) when\b|\bhow much longer\b|\bhow (soon|long) until\b|\bwhen (will|is .* (going to|due))\b"
    r"|\b(so|thus) far\b|\bend of (life|support|sale)\b"
    r"|\b(aktuell\w*|derzeit\w*|momentan\w*|zurzeit|heute|jetzt|neuest\w*|noch|inzwischen|bis wann)\b"
    r"|\b(actuel(le)?(ment|s)?|dernière?s?|aujourd'hui|maintenant|encore|récent\w*|jusqu'à quand)\b"
    r"|\b(actual(es|mente)?|último|última|hoy|ahora|todavía|aún|reciente\w*|hasta cuándo)\b"
    r"|\b(attual\w*|ultim[oa]|oggi|adesso|ancora|recente\w*|fino a quando)\b"
)

DEFINITION: Final = re.compile(
    r"^(what|who|where|which|when|why) (is|are|was|were|does|do|did)\b|\bwhat\W*$|^define\b|\bdefinition\b"
    r"|^(was|wer|wo) (ist|sind|bedeutet|heißt)\b|^qu'est-ce qu|^que (signifie|veut dire)\b|^qué (es|son|significa)\b"
    r"|^cosa (è|sono|significa)\b"
)

POINTING: Final = re.compile(
    r"\b(it|its|they|them|their|this|that|these|those|he|she|his|her|him|there|such|same)\b"
    r"|\b(er|sie|es|ihn|ihm|ihr|ihre|ihrer|dies|diese[rsmn]?|das|dort|davon|damit|dafür)\b"
    r"|\b(il|elle|ils|elles|celui-ci|celle-ci|cela|ça|lui|leur|y)\b"
    r"|\b(ello|ellos|ellas|él|ella|este|esta|esto|ese|esa|eso|lo|su|sus)\b|\b(esso|essa|questo|questa|lui|lei|loro)\b"
)
