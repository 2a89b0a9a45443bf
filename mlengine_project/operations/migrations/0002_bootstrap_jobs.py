from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('operations', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='job',
            name='kind',
            field=models.CharField(choices=[('training', 'Training'), ('backfill', 'Backfill'), ('bootstrap', 'Bootstrap')], max_length=10),
        ),
    ]
